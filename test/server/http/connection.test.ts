/** One connection, event by event: pieces of heads, order, bodies, backpressure and early answers. */
import { describe, expect, test } from 'vitest';
import { headerLines, noHeaders } from '../../../server/http/answer.ts';
import { harness } from './fake.ts';
import { bytesOf, echoBody, echoPath, get, ok, parked, post, TestSink } from './steps.ts';

describe('heads', () => {
  test('a request is answered whatever its pieces are', () => {
    const text = get('/a') + get('/b', 'Accept: x/y\r\n');
    for (let cut = 1; cut < text.length; cut++) {
      const { socket } = harness(echoPath);
      socket.deliver(text.slice(0, cut));
      socket.deliver(text.slice(cut));
      expect(socket.sentText).toBe(ok('/a') + ok('/b'));
    }
  });

  test.each([1, 2, 7, 64])('pipelined requests in reads of %d bytes are answered in order', (readSize) => {
    const { socket } = harness(echoPath);
    socket.deliver(get('/a') + get('/b') + get('/c'), readSize);
    expect(socket.sentText).toBe(ok('/a') + ok('/b') + ok('/c'));
  });

  test('the next request waits for the answer to the one before', () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/a') + get('/b'));
    expect(exchanges.map(({ head }) => head.path)).toEqual(['/a']);
    exchanges[0].respond(200, noHeaders);
    expect(exchanges.length).toBe(1);
    socket.settle();
    expect(exchanges.map(({ head }) => head.path)).toEqual(['/a', '/b']);
  });

  test('reading stops when too much is pipelined, and goes on afterwards', () => {
    const { socket, exchanges } = parked({ pipelinedBytesMax: 100 });
    const text = Array.from({ length: 20 }, (_, i) => get(`/${i}`)).join('');
    const delivered = socket.deliver(text, 10);
    expect(delivered).toBeLessThanOrEqual(get('/0').length + 110);
    let rest = text.slice(delivered);
    for (let i = 0; i < 20; i++) {
      exchanges[i].respond(200, noHeaders, bytesOf(exchanges[i].head.path));
      socket.settle();
      rest = rest.slice(socket.deliver(rest, 10));
    }
    expect(socket.sentText).toBe(Array.from({ length: 20 }, (_, i) => ok(`/${i}`)).join(''));
  });

  test('HEAD gets the headers of a body only', () => {
    const { socket } = harness((exchange) => exchange.respond(200, noHeaders, bytesOf('hello')));
    socket.deliver('HEAD / HTTP/1.1\r\nHost: h\r\n\r\n');
    expect(socket.sentText).toBe('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
  });

  test('204 has no length', () => {
    const { socket } = harness((exchange) => exchange.respond(204, headerLines('TQ-LSN', '7')));
    socket.deliver(get('/'));
    expect(socket.sentText).toBe('HTTP/1.1 204 No Content\r\nTQ-LSN: 7\r\n\r\n');
  });

  test('a head without an end of line is refused when it becomes too large', () => {
    const { socket, refusals } = harness(echoPath, { headBytesMax: 100 });
    expect(socket.deliver(`GET / HTTP/1.1\r\nX: ${'y'.repeat(200)}`, 1)).toBeGreaterThanOrEqual(100);
    expect(refusals).toEqual(['head_too_large']);
  });

  test('Connection: close is honoured after the answer, and nothing behind it runs', () => {
    const { socket, isClosed } = harness(echoPath);
    socket.deliver(get('/a', 'Connection: close\r\n') + get('/canary'));
    expect(socket.sentText).toBe(ok('/a', true));
    expect([socket.isFinished, isClosed()]).toEqual([true, false]);
    socket.end();
    expect(isClosed()).toBe(true);
  });

  test('after a refused head nothing more is parsed', () => {
    const { socket, refusals } = harness(echoPath);
    socket.deliver(get('/a') + 'GET / HTTP/1.1\r\n\r\n' + get('/canary'));
    socket.deliver(get('/canary'));
    expect(refusals).toEqual(['http_malformed']);
    expect(socket.sentText).not.toContain('canary');
    expect(socket.sentText).toMatch(/HTTP\/1.1 400 Bad Request\r\n.*Connection: close\r\n\r\nhttp_malformed$/s);
    expect(socket.isFinished).toBe(true);
  });

  test('a second answer is a bug', () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/'));
    exchanges[0].respond(200, noHeaders);
    expect(() => exchanges[0].respond(200, noHeaders)).toThrow('answered before');
  });
});

describe('bodies', () => {
  test.each([1, 3, 10, 1000])('arrive exactly, in reads of %d bytes, with requests around them', (readSize) => {
    const { socket } = harness((exchange) =>
      exchange.head.method === 'POST' ? echoBody(exchange) : echoPath(exchange),
    );
    socket.deliver(post('0123456789') + get('/x') + post('') + post('GET / HTTP/1.1\r\n\r\n') + get('/y'), readSize);
    expect(socket.sentText).toBe(ok('0123456789') + ok('/x') + ok('') + ok('GET / HTTP/1.1\r\n\r\n') + ok('/y'));
  });

  test('nothing is read before the body is asked for; what was read before is not lost', () => {
    const { socket, exchanges } = parked();
    expect(socket.deliver(post('0123456789' + get('/next'), '', 10), 60)).toBe(60);
    expect(socket.isPaused).toBe(true);
    const sink = new TestSink(10);
    exchanges[0].receive(sink);
    expect(socket.isPaused).toBe(false);
    socket.deliver((post('0123456789', '', 10) + get('/next')).slice(60));
    expect([sink.text, ...sink.events]).toEqual(['0123456789', 'end']);
    exchanges[0].respond(200, noHeaders);
    socket.settle();
    expect(exchanges[1].head.path).toBe('/next');
  });

  test('bytes go straight into the memory of the sink, never past the body', () => {
    const { socket, exchanges, connection } = parked();
    socket.deliver(post('', '', 8));
    // More room than body: what follows the body belongs to the next request.
    const sink = new TestSink(100);
    exchanges[0].receive(sink);
    socket.deliver('ab');
    const view = connection.buffer();
    expect([view.buffer === sink.memory.buffer, view.length]).toEqual([true, 6]);
    socket.deliver('cdefgh' + get('/next'));
    expect(sink.memory.toString('latin1', 0, 12)).toBe('abcdefgh....');
    expect(sink.events).toEqual(['end']);
  });

  test('a body and the next request in one read are told apart', () => {
    const sinks: TestSink[] = [];
    const { socket } = harness((exchange) => {
      if (exchange.head.method === 'GET') return echoPath(exchange);
      const sink = new TestSink(100, () => exchange.respond(200, noHeaders, bytesOf(sink.text)));
      sinks.push(sink);
      exchange.receive(sink);
    });
    socket.deliver(post('abc') + get('/next'));
    expect(socket.sentText).toBe(ok('abc') + ok('/next'));
    expect(sinks[0].memory.toString('latin1', 0, 5)).toBe('abc..');
  });

  test('a sink without room stops the reading until there is some', () => {
    const { socket, exchanges } = parked();
    const sink = new TestSink(10, undefined, 4);
    socket.deliver(post('', '', 10));
    exchanges[0].receive(sink);
    sink.isFull = true;
    expect(socket.deliver('0123456789', 2)).toBeLessThan(10);
    expect(socket.isPaused).toBe(true);
    const read = sink.size;
    sink.isFull = false;
    exchanges[0].resumeBody();
    expect(socket.isPaused).toBe(false);
    expect(sink.size).toBeGreaterThanOrEqual(read);
    socket.deliver('0123456789'.slice(2));
    expect(sink.text).toBe('0123456789');
  });

  test('an empty body ends at once', () => {
    const { socket, exchanges } = parked();
    socket.deliver(post(''));
    const sink = new TestSink(0);
    exchanges[0].receive(sink);
    expect(sink.events).toEqual(['end']);
  });

  test('100 Continue is sent when the body is asked for, once, and only if none of it came', () => {
    const { socket, exchanges } = parked();
    socket.deliver(post('', 'Expect: 100-continue\r\n', 4));
    expect(socket.sentText).toBe('');
    exchanges[0].receive(new TestSink(4));
    expect(socket.sentText).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.settle();
    socket.deliver('abcd');
    exchanges[0].respond(200, noHeaders);
    socket.settle();
    socket.deliver(post('ab', 'Expect: 100-continue\r\n'));
    exchanges[1].receive(new TestSink(2));
    expect(socket.sentText).toBe('HTTP/1.1 100 Continue\r\n\r\n' + ok(''));
  });
});

describe('answers before the body', () => {
  test('a small rest is discarded and the connection goes on', () => {
    const { socket } = harness(echoPath, { drainBytesMax: 8 });
    socket.deliver(post('12345678') + get('/next'), 5);
    expect(socket.sentText).toBe(ok('/p') + ok('/next'));
  });

  test('a larger rest closes the connection', () => {
    const { socket } = harness(echoPath, { drainBytesMax: 8 });
    socket.deliver(post('', '', 9));
    expect(socket.sentText).toBe(ok('/p', true));
    socket.deliver('123456789' + get('/canary'));
    expect(socket.sentText).not.toContain('canary');
  });

  test('a client that waits for 100 Continue is closed: nobody can tell what its next byte means', () => {
    const { socket } = harness(echoPath);
    socket.deliver(post('', 'Expect: 100-continue\r\n', 4));
    socket.deliver(get('/canary'));
    expect(socket.sentText).toBe(ok('/p', true));
  });

  test('the sink is told, and its memory is not written to any more', () => {
    const { socket, exchanges, connection } = parked();
    const sink = new TestSink(100);
    socket.deliver(post('', '', 100));
    exchanges[0].receive(sink);
    socket.deliver('0123456789');
    exchanges[0].respond(400, noHeaders);
    expect(sink.events).toEqual(['answered']);
    expect(socket.abandonCount).toBe(1);
    socket.deliver('x'.repeat(90));
    expect(connection.buffer().buffer).not.toBe(sink.memory.buffer);
    expect(sink.memory.includes('x')).toBe(false);
    expect(sink.size).toBe(10);
    expect(socket.isFinished).toBe(true);
  });

  test('a sink may answer when it is asked for room', () => {
    const { socket, exchanges } = parked();
    const sink = new TestSink(10);
    sink.next = () => {
      exchanges[0].respond(400, noHeaders);
      return sink.memory;
    };
    socket.deliver(post('0123456789'));
    exchanges[0].receive(sink);
    expect([sink.events, sink.text, sink.memory.toString()]).toEqual([['answered'], '', '..........']);
  });

  test('a sink may answer while it is written to', () => {
    const { socket, exchanges } = parked();
    const sink = new TestSink(10);
    sink.wrote = (size: number) => {
      sink.size += size;
      if (sink.size === 4) exchanges[0].respond(400, noHeaders);
    };
    socket.deliver(post('', '', 10));
    exchanges[0].receive(sink);
    socket.deliver('0123456789' + get('/next'), 4);
    expect(sink.events).toEqual(['answered']);
    expect(sink.text).toBe('0123');
  });
});
