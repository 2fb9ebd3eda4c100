import { randomBytes } from 'node:crypto';
import type { Random } from '../../../src/core/random.ts';

/**
 * What a host does with one attempt, one letter each. A request's path says it for every attempt, so that a seed
 * gives the same requests in every run: `/<cluster>/<offset>/<size>/<acts>`; the last letter stays for later attempts.
 */
export const ACTS = {
  o: 'answers',
  k: 'answers in chunks',
  u: 'answers until the end of the connection',
  c: 'answers, and says that it ends the connection',
  i: 'answers, and ends the connection without a word',
  s: 'answers after 50 to 300 ms',
  d: 'answers in slow pieces',
  j: 'answers after interim heads',
  e: '503',
  f: '500 with a body',
  y: '413 before it has read the request, then ends',
  r: 'resets before an answer',
  q: 'ends before an answer',
  m: 'resets in mid-body',
  n: 'ends in mid-body',
  g: 'sends garbage',
  b: 'sends garbage in mid-body',
  v: 'sends a head over the limits',
  h: 'never answers',
  z: 'stops in mid-body',
} as const;

export type Act = keyof typeof ACTS;

/** Bodies are pieces of this: bytes tell their own place, so that a shift or a stranger's chunk shows. */
const LENGTH = 1 << 20;
const PATTERN = pattern();

function pattern(): Buffer {
  const out = Buffer.allocUnsafe(2 * LENGTH);
  let state = 0x9e37_79b9 | 0;
  for (let at = 0; at < out.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    out.writeInt32LE(state ^ (state >>> 15), at);
  }
  return out;
}

export const bodyOf = (offset: number, size: number): Buffer => PATTERN.subarray(offset, offset + size);
export const garbage = (size: number): Buffer => randomBytes(size);

export interface RequestPlan {
  readonly id: number;
  readonly method: string;
  readonly path: string;
  readonly offset: number;
  readonly size: number;
  readonly acts: string;
  readonly body: Buffer;
  /** What the client does: takes the answer, or leaves after a time, some of it in mid-body. */
  readonly leaves: 'no' | 'at once' | 'later' | 'in the body';
  readonly leavesAfterMs: number;
  /** Reads slowly for a while. */
  readonly lagMs: number;
}

export const below = (random: Random, n: number): number => random.uint32() % n;

const GOOD = 'ooooooookkcisdju';
const BAD: readonly Act[] = ['e', 'e', 'e', 'f', 'r', 'q', 'g', 'v', 'y', 'm', 'n', 'b', 'h', 'z'];
const CLUSTERS = ['h1', 'h1', 'h1', 'h2', 'h2', 'h2', 'hedge', 'tight', 'mirrored'];
const METHODS = ['GET', 'GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS'];

export function planRequest(random: Random, id: number): RequestPlan {
  const method = METHODS[below(random, METHODS.length)] ?? 'GET';
  const offset = below(random, LENGTH);
  const size = sizeOf(random);
  const acts = actsOf(random);
  const cluster = CLUSTERS[below(random, CLUSTERS.length)] ?? 'h1';
  const withBody = method === 'POST' || method === 'PUT';
  const leaving = below(random, 40);
  return {
    id,
    method,
    path: `/${cluster}/${offset}/${size}/${acts}`,
    offset,
    size,
    acts,
    body: withBody ? bodyOf(below(random, LENGTH), sizeOf(random)) : bodyOf(0, 0),
    leaves: leaving === 0 ? 'at once' : leaving === 1 ? 'later' : leaving === 2 ? 'in the body' : 'no',
    leavesAfterMs: below(random, 200),
    lagMs: below(random, 20) === 0 ? below(random, 100) : 0,
  };
}

/** Mostly small, sometimes several read buffers. */
const sizeOf = (random: Random): number =>
  below(random, 10) === 0 ? below(random, 400_000) : below(random, 3000);

/** One request in six meets something bad, and some meet it again when tried again. */
function actsOf(random: Random): string {
  let acts = '';
  while (below(random, 6) === 0 && acts.length < 4) acts += BAD[below(random, BAD.length)] ?? 'e';
  return acts + (GOOD[below(random, GOOD.length)] ?? 'o');
}
