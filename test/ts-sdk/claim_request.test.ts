import { describe, expect, it } from 'vitest';
import { claimJson, type ClaimOptions, type Turn } from '../../ts-sdk/claim_request.ts';
import { declarationJson } from '../../ts-sdk/policies.ts';
import { thrown } from './support.ts';

const words: ClaimOptions = { task: 't', fields: ['x'], batchSize: 8 };
const turn: Turn = { waitMs: 5, waitedMs: 0, isLast: true };
const sent = (options: object, more: Partial<Turn> = {}): unknown =>
  JSON.parse(JSON.stringify(claimJson({ ...words, ...options }, { ...turn, ...more })));

describe('claimJson', () => {
  it('leaves out what is left out', () => {
    expect(sent({})).toEqual({ task: 't', fields: ['x'], rows_max: 8, wait_ms: 5 });
  });

  it('has the words of the wire', () => {
    const options: Partial<ClaimOptions> = {
      rowsMin: 2,
      sampler: 'group',
      by: 'score',
      seed: 7,
      where: 'score > 0.5',
      tokens: { max: 4_096, by: 'size' },
      window: { minVersion: 1, maxStaleness: 2, by: 'v', onStale: 'skip' },
      group: { by: 'prompt', survivorsMin: 3, waitMs: 50 },
      batch: { name: 'ppo', number: 3, part: 1, parts: 2, balanceBy: 'length' },
      leaseMs: 200,
      autoAck: true,
    };
    expect(sent(options)).toEqual({
      task: 't',
      fields: ['x'],
      rows_max: 8,
      rows_min: 2,
      sampler: 'group',
      by: 'score',
      seed: 7,
      where: 'score > 0.5',
      tokens: { max: 4_096, by: 'size' },
      window: { min_version: 1, max_staleness: 2, by: 'v', on_stale: 'skip' },
      group: { by: 'prompt', survivors_min: 3, wait_ms: 50 },
      batch: { name: 'ppo', number: 3, part: 1, parts: 2, balance_by: 'length' },
      wait_ms: 5,
      lease_ms: 200,
      auto_ack: true,
    });
    expect(sent({ batch: { name: 'ppo' } })).toMatchObject({ batch: { name: 'ppo', number: 0 } });
  });

  it('asks for fewer rows in the last request of a wait only, and counts what was waited', () => {
    expect(sent({ partial: true })).toMatchObject({ partial: true });
    expect(sent({ partial: true }, { isLast: false })).not.toHaveProperty('partial');
    expect(sent({ lingerMs: 500 }, { waitedMs: 120.4 })).toMatchObject({ linger_ms: 380 });
    expect(sent({ lingerMs: 500 }, { waitedMs: 900 })).toMatchObject({ linger_ms: 0 });
  });

  it('takes a number of rows, or ids', () => {
    expect(sent({ batchSize: undefined, ids: Int32Array.of(3, 1) })).toMatchObject({ ids: [3, 1] });
    for (const wrong of [{ batchSize: undefined }, { ids: [1] }]) {
      expect(thrown(() => sent(wrong))).toMatchObject({ code: 'input_invalid' });
    }
    expect(thrown(() => sent({ batchSize: undefined, ids: [-1] }))).toMatchObject({ code: 'index_id_invalid' });
  });
});

describe('declarationJson', () => {
  it('has the words of the wire; null takes back', () => {
    const json = declarationJson({
      groupSize: 8,
      tasks: { judge: { maxAttempts: 3 }, actor: {} },
      release: 'consumed',
      numbers: ['length'],
      rowsMax: 64,
      bytesMax: null,
      pace: { rowsPerVersion: 512, maxAhead: 1 },
      retention: { ageMsMax: 1_000 },
    });
    expect(JSON.parse(JSON.stringify(json))).toEqual({
      group_size: 8,
      tasks: { judge: { max_attempts: 3 }, actor: {} },
      release: 'consumed',
      numbers: ['length'],
      rows_max: 64,
      bytes_max: null,
      pace: { rows_per_version: 512, max_ahead: 1 },
      retention: { age_ms_max: 1_000 },
    });
    expect(declarationJson({ tasks: ['a'], pace: null, retention: null })).toEqual({
      tasks: { a: {} },
      pace: null,
      retention: null,
    });
  });
});
