import t from 'tap';
import { appendCopy } from '../../src/http/held-bytes.ts';

t.test('memory follows bytes, not pieces', async (t) => {
  const list: Buffer[] = [];
  const said: Buffer[] = [];
  const borrowed = Buffer.alloc(4096);
  const add = (size: number): void => {
    borrowed.fill(said.length & 0xff);
    said.push(Buffer.from(borrowed.subarray(1, 1 + size)));
    appendCopy(list, borrowed, 1, 1 + size);
  };
  for (let i = 0; i < 100_000; i++) add(1);
  t.ok(list.length < 100, `${list.length} buffers`);
  // What goes out meanwhile is not touched by what comes.
  const [first] = list.splice(0, 40);
  const before = Buffer.from(first ?? []);
  const rest = Buffer.concat(said).subarray(Buffer.concat(said).length - Buffer.concat(list).length);
  said.splice(0, said.length, Buffer.from(rest));
  for (const size of [1, 600, 1, 511, 512, 2, 3000, 1]) add(size);
  t.same(first, before);
  t.ok(Buffer.concat(list).equals(Buffer.concat(said)));
});
