/** Source of randomness; a seeded one makes balancer tests and simulations repeatable. */
export interface Random {
  /** Uniform integer in [0, 2^32). */
  uint32(): number;
  /** Uniform double in [0, 1). */
  float(): number;
}

/** xoshiro128** by Blackman and Vigna; period 2^128 − 1. Not for secrets. */
export function createRandom(seed: number): Random {
  // SplitMix32 spreads the seed over the four state words.
  let z = seed >>> 0;
  const next = (): number => {
    z = (z + 0x9e3779b9) >>> 0;
    let t = z ^ (z >>> 16);
    t = Math.imul(t, 0x21f0aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a2d97);
    return (t ^ (t >>> 15)) >>> 0;
  };
  let a = next();
  let b = next();
  let c = next();
  let d = next();
  const uint32 = (): number => {
    const m = Math.imul(b, 5);
    const r = Math.imul((m << 7) | (m >>> 25), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return r >>> 0;
  };
  return { uint32, float: () => uint32() / 0x1_0000_0000 };
}
