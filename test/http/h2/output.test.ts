import t from 'tap';
import { HpackEncoder } from '../../../src/http/h2/hpack-encoder.ts';
import { H2_SERVER_DEFAULTS } from '../../../src/http/h2/options.ts';
import { Output } from '../../../src/http/h2/output.ts';
import { endOfTurn, FakeConnection } from '../../support/fake-connection.ts';

const FRAME = 16_384;
const HEAD = 9;

/** Keeps what it was given in place, as a socket does whose kernel buffer is full. */
class SlowConnection extends FakeConnection {
  readonly chunks: Buffer[] = [];
  readonly done: (() => void)[] = [];

  override write(data: Uint8Array | string, done?: () => void): boolean {
    if (typeof data === 'string' || !Buffer.isBuffer(data)) throw new Error('only buffers are expected');
    this.chunks.push(data);
    this.done.push(done ?? (() => {}));
    return true;
  }
}

function outputOn(connection: FakeConnection): Output {
  return new Output(connection, new HpackEncoder(4096), { onOutputFull: () => {} }, H2_SERVER_DEFAULTS.stats);
}

/** Three full frames of `byte` in one turn. */
async function send(output: Output, byte: string): Promise<void> {
  const body = Buffer.alloc(FRAME, byte);
  for (let i = 0; i < 3; i++) output.data(1, body, 0, FRAME, false);
  await endOfTurn();
}

const bodyOf = (chunk: Buffer | undefined): string =>
  chunk === undefined
    ? ''
    : [0, 1, 2]
        .map((i) => chunk.toString('latin1', i * (HEAD + FRAME) + HEAD, (i + 1) * (HEAD + FRAME)))
        .join('');

t.test('what was given away does not change before it may, and is used again afterwards', async (t) => {
  const connection = new SlowConnection();
  const output = outputOn(connection);
  await send(output, 'a');
  await send(output, 'b');
  t.equal(connection.chunks.length, 2, 'a turn is one write');
  t.equal(bodyOf(connection.chunks[0]), 'a'.repeat(3 * FRAME));
  t.equal(bodyOf(connection.chunks[1]), 'b'.repeat(3 * FRAME));
  connection.done[0]?.();
  await send(output, 'c');
  t.equal(bodyOf(connection.chunks[1]), 'b'.repeat(3 * FRAME), 'the kernel still has this one');
  t.equal(bodyOf(connection.chunks[2]), 'c'.repeat(3 * FRAME));
  t.equal(connection.chunks[2]?.buffer, connection.chunks[0]?.buffer, 'no further memory');
});

t.test('connections of a thread share what is spare, one at a time', async (t) => {
  const first = new SlowConnection();
  const second = new SlowConnection();
  const [one, other] = [outputOn(first), outputOn(second)];
  await send(one, 'a');
  first.done[0]?.();
  const frames = Buffer.alloc(FRAME, 'x');
  // Both gather in the same turn.
  for (const [output, byte] of [
    [one, 'd'],
    [other, 'e'],
  ] as const) {
    for (let i = 0; i < 3; i++) output.data(1, frames.fill(byte), 0, FRAME, false);
  }
  await endOfTurn();
  t.equal(bodyOf(first.chunks[1]), 'd'.repeat(3 * FRAME));
  t.equal(bodyOf(second.chunks[0]), 'e'.repeat(3 * FRAME));
});
