import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, type Random } from '../../../src/core/random.ts';
import { httpBootstrap } from '../../support/http-bootstrap.ts';
import { InoxProcess } from '../../support/inox-process.ts';
import { block, data, type Fields, frame, headers, pseudo, rst, settings, word } from '../envoy/h2-frames.ts';
import { H2Reader } from '../envoy/h2-reader.ts';
import { StrictBackend } from './strict-backend.ts';

/**
 * Damaged HTTP/2 frames against the real program, with a backend behind it that takes nothing but well-formed HTTP/1.
 * No crash, no hang: every connection is closed soon after its client has ended, a connection beside them is answered
 * all the time, memory stays flat. `FUZZ_RUNS` frames (a million), `FUZZ_SEED` repeats a run.
 */
const RUNS = Number(process.env.FUZZ_RUNS ?? 1_000_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const CONNECTIONS = 64;
const ALLOWED_BYTES = 20 * 2 ** 20;
const SWEEP_MS = 20;
const CLOSE_MS = 10_000;
const ANSWER_MS = 5000;
const PREFACE = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${settings()}`;

const random = createRandom(SEED);
const backend = new StrictBackend(createRandom(SEED + 1));
const hcm = 'http2_protocol_options: {allow_connect: true}';
const inox = await InoxProcess.start(httpBootstrap({ backend: await backend.listen(), admin: true, hcm }), [
  '--concurrency',
  '1',
]);
process.stdout.write(`${RUNS} frames, FUZZ_SEED=${SEED}\n`);

const faults: string[] = [];
const live = new Set<Attack>();
const total = { frames: 0, connections: 0 };
let startedRss = 0;
let nextReport = RUNS / 10;
const began = performance.now();

/** Sends what it is given, waits a little for answers, ends its side and expects the proxy to close. */
class Attack {
  readonly #socket: Socket;
  readonly #bytes: string;
  #sweeps = 0;
  #endedMs = 0;

  constructor(bytes: string, onClosed: (attack: Attack) => void) {
    this.#bytes = bytes;
    // Many source addresses, so that the ports of one do not run out while closed connections linger.
    const localAddress = `127.0.0.${2 + (total.connections % 250)}`;
    this.#socket = connect({ port: inox.port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
    this.#socket.on('data', () => {
      // What the proxy says to damaged frames is what the unit tests look at.
    });
    this.#socket.on('end', () => this.#socket.end());
    this.#socket.on('error', () => {
      // Closed while more was being sent.
    });
    this.#socket.on('close', () => onClosed(this));
    const cut = random.uint32() % 3 === 0 ? random.uint32() % bytes.length : bytes.length;
    this.#socket.write(bytes.slice(0, cut), 'latin1');
    if (cut < bytes.length) setImmediate(() => this.#write(bytes.slice(cut)));
  }

  #write(text: string): void {
    if (this.#socket.writable) this.#socket.write(text, 'latin1');
  }

  sweep(nowMs: number): void {
    if (++this.#sweeps === 2) {
      this.#endedMs = nowMs;
      this.#socket.end();
    } else if (this.#endedMs > 0 && nowMs - this.#endedMs > CLOSE_MS) {
      faults.push(`stays open: ${Buffer.from(this.#bytes, 'latin1').toString('base64').slice(0, 2000)}`);
      this.#socket.destroy();
    }
  }
}

/** A client that does nothing wrong. */
class Bystander {
  answered = 0;
  readonly #socket = connect({ port: inox.port, host: '127.0.0.1', noDelay: true });
  readonly #reader = new H2Reader({ acknowledge: (bytes) => void this.#socket.write(bytes) });
  #id = -1;
  #sentMs = 0;

  constructor() {
    this.#socket.on('data', (chunk: Buffer) => this.#reader.push(chunk));
    this.#socket.on('close', () => faults.push('the connection beside them was closed'));
    this.#socket.on('error', (error) => faults.push(`the connection beside them: ${error.message}`));
    this.#socket.write(PREFACE + frame('windowUpdate', 0, 0, word(0x7fff0000)), 'latin1');
    this.#ask(performance.now());
  }

  sweep(nowMs: number): void {
    if (this.#reader.ended.has(this.#id)) {
      const lines = JSON.stringify(this.#reader.seen.streams.get(this.#id));
      if (!lines.includes(':status: 200')) faults.push(`the connection beside them got ${lines}`);
      this.#reader.seen.streams.clear();
      this.#reader.ended.clear();
      this.answered++;
      this.#ask(nowMs);
    } else if (nowMs - this.#sentMs > ANSWER_MS) {
      faults.push(`the connection beside them got no answer for ${ANSWER_MS} ms`);
      this.#sentMs = nowMs;
    }
  }

  #ask(nowMs: number): void {
    this.#id += 2;
    this.#sentMs = nowMs;
    this.#socket.write(headers(this.#id, [...pseudo('GET', '/'), ['x-tag', 'beside']], true), 'latin1');
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }
}

/** Frames of a client, most of them good; the caller damages some. */
function someFrame(next: { id: number }, random: Random): string {
  const id = next.id;
  const old = 1 + 2 * (random.uint32() % Math.max(1, (id + 1) / 2));
  const more: Fields = [['x-tag', String(id)]];
  switch (random.uint32() % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
      next.id += 2;
      return headers(id, [...pseudo('GET', `/${id}`), ...more], true);
    case 4:
    case 5:
      next.id += 2;
      return (
        headers(id, [...pseudo('POST', '/p'), ['content-length', '5'], ...more], false) +
        data(id, 'abcde', true)
      );
    case 6:
      next.id += 2;
      return (
        headers(id, [...pseudo('POST', '/s'), ...more], false) +
        data(id, 'x'.repeat(random.uint32() % 3000), false)
      );
    case 7:
      next.id += 2;
      return (
        frame('headers', 1, id, block(pseudo('GET', '/c'))) +
        frame('continuation', 4, id, block([['cookie', 'a=b']]))
      );
    case 8:
      return data(old, 'more', random.uint32() % 2 === 0);
    case 9:
      return rst(old, random.uint32() % 14);
    case 10:
      return frame('windowUpdate', 0, random.uint32() % 2 === 0 ? 0 : old, word(random.uint32() % 100_000));
    case 11:
      return settings([1 + (random.uint32() % 9), random.uint32() % 70_000]);
    case 12:
      return frame('ping', random.uint32() % 2, 0, '12345678');
    case 13:
      return frame('priority', 0, old, `${word(random.uint32() % 20)}\x10`);
    case 14:
      return headers(old, [['trailer-of', 'it']], true);
    default:
      // Indexed and Huffman-coded fields: a head as clients write it, :method GET, :scheme http, :path /.
      next.id += 2;
      return frame('headers', 5, id, '\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff');
  }
}

function damage(text: string, random: Random): string {
  const at = random.uint32() % text.length;
  const byte = String.fromCharCode(random.uint32() % 256);
  switch (random.uint32() % 7) {
    case 0:
      return text.slice(0, at) + byte + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + byte + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(at + 1 + (random.uint32() % 8));
    case 3:
      // The frame's head: length, type, flags or stream.
      return text.slice(0, at % 9) + byte + text.slice((at % 9) + 1);
    case 4:
      return text + text;
    case 5:
      return text.slice(0, at);
    default:
      return (
        text.slice(0, at) +
        String.fromCharCode(text.charCodeAt(at) ^ (1 << (random.uint32() % 8))) +
        text.slice(at + 1)
      );
  }
}

function conversation(random: Random): { bytes: string; frames: number } {
  const frames = 4 + (random.uint32() % 28);
  const next = { id: 1 };
  // Some connections come far, some end with their first frame.
  const rarity = 2 ** (1 + (random.uint32() % 6));
  let bytes = random.uint32() % 50 === 0 ? damage(PREFACE, random) : PREFACE;
  for (let i = 0; i < frames; i++) {
    const one = someFrame(next, random);
    bytes += random.uint32() % rarity === 0 ? damage(one, random) : one;
  }
  return { bytes: `${bytes} `, frames };
}

const bystander = new Bystander();
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const attack of live) attack.sweep(nowMs);
    bystander.sweep(nowMs);
  }, SWEEP_MS);
  const open = (): void => {
    const { bytes, frames } = conversation(random);
    total.connections++;
    live.add(
      new Attack(bytes, (attack) => {
        live.delete(attack);
        count(frames);
        if (total.frames < RUNS && faults.length < 10 && inox.exit === null) open();
        else if (live.size === 0) {
          clearInterval(timer);
          resolve();
        }
      }),
    );
  };
  for (let i = 0; i < CONNECTIONS; i++) open();
});
bystander.close();

function count(frames: number): void {
  total.frames += frames;
  if (total.frames < nextReport) return;
  nextReport += RUNS / 10;
  if (startedRss === 0) startedRss = inox.rss;
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(
    `${total.frames} frames on ${total.connections} connections, ${backend.seen} requests at the backend, ` +
      `${bystander.answered} answers beside, RSS ${(inox.rss / 2 ** 20).toFixed(1)} MB, ` +
      `${(total.frames / seconds).toFixed(0)}/s\n`,
  );
}

await sleep(1500);
const grown = inox.rss - startedRss;
const stats = inox.exit === null ? await inox.stats('active|worker_restarts|internal_errors|^http2') : {};
const zero = ['http.test.downstream_rq_active', 'cluster.backend.upstream_rq_active', 'http2.streams_active'];
const claims: [string, boolean][] = [
  ['the program runs', inox.exit === null],
  ['no worker was replaced', (stats['server.worker_restarts'] ?? 0) === 0],
  ['nothing was thrown', (stats['server.internal_errors'] ?? 0) === 0],
  [
    `every connection was closed, the one beside was served: ${faults.slice(0, 5).join('\n  ')}`,
    faults.length === 0,
  ],
  [
    `the backend got nothing but requests: ${backend.faults.slice(0, 5).join('\n  ')}`,
    backend.faults.length === 0,
  ],
  [`${backend.seen} requests reached the backend`, backend.seen > total.connections / 4],
  ...zero.map((name): [string, boolean] => [`${name} is ${stats[name]}`, stats[name] === 0]),
  [
    `memory grew by ${(grown / 2 ** 20).toFixed(1)} MB between a tenth and the end (20 allowed)`,
    // A short run ends before the heap has found its size.
    RUNS <= 200_000 || grown <= ALLOWED_BYTES,
  ],
];
const counted = Object.entries(stats).filter(([name, value]) => name.startsWith('http2.') && value > 0);
process.stdout.write(`${counted.map(([name, value]) => `${name}: ${value}`).join(', ')}\n`);
for (const [claim, holds] of claims) process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${claim}\n`);
if (claims.some(([, holds]) => !holds)) process.exitCode = 1;
backend.close();
await inox.stop();
