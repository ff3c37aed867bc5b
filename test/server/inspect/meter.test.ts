/** What a long check shows on its way: a bar on a terminal, a line now and then elsewhere. */
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { meterOn } from '../../../server/inspect/meter.ts';
import { SimClock } from '../../support/sim_env.ts';

class Sink extends Writable {
  text = '';
  readonly isTTY: boolean;
  readonly columns = 100;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(bytes: Buffer, _: string, done: () => void): void {
    this.text += bytes.toString();
    done();
  }
}

const GIB = 2 ** 30;

describe('off a terminal', () => {
  test('a line says where it is each ten seconds, and nothing before', async () => {
    const [sink, clock] = [new Sink(false), new SimClock()];
    const meter = meterOn(sink, clock);
    meter.total(4 * GIB);
    meter.stage('puts');
    for (let second = 0; second < 25; second++) {
      await clock.advance(1_000);
      meter.add(GIB / 25);
    }
    meter.end();
    expect(sink.text.split('\n')).toEqual([
      'tq: puts: 10 %, 410 MiB of 4.00 GiB, 41.0 MiB/s, 1 min 30 s left',
      'tq: puts: 20 %, 819 MiB of 4.00 GiB, 41.0 MiB/s, 1 min 20 s left',
      '',
    ]);
  });

  test('a short check says nothing', () => {
    const sink = new Sink(false);
    const meter = meterOn(sink, new SimClock());
    meter.total(10);
    meter.add(10);
    meter.end();
    expect(sink.text).toBe('');
  });
});

describe('on a terminal', () => {
  test('a bar shows the stage, the bytes and the time left, and goes away at the end', async () => {
    const [sink, clock] = [new Sink(true), new SimClock()];
    const meter = meterOn(sink, clock);
    meter.total(2 * GIB);
    meter.stage('puts');
    await clock.advance(10_000);
    meter.add(GIB);
    // The bar draws itself a few times a second, and at its end.
    meter.end();
    expect(sink.text).toContain('puts');
    expect(sink.text).toContain(' 50 %  1.00 GiB of 2.00 GiB  102 MiB/s  10 s left');
    const [last] = sink.text.split('\n').slice(-1);
    expect(last.includes('50 %') && last.lastIndexOf('[2K') < last.indexOf('50 %')).toBe(false);
  });
});
