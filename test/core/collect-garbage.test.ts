import { readFileSync } from 'node:fs';
import t from 'tap';
import {
  collectGarbageOnce,
  releaseStartupMemory,
  untouchedMappings,
} from '../../src/core/collect-garbage.ts';

const NODE = '/usr/local/bin/node';

function mapping(header: string, anonymousKb = 0, dirtyKb = 0): string {
  return `${header}
Size:               4280 kB
Rss:                1280 kB
Private_Dirty:         ${dirtyKb} kB
Anonymous:             ${anonymousKb} kB
VmFlags: rd ex mr mw me
`;
}

t.test('drops what the executable file still has, and nothing else', async (t) => {
  const smaps = [
    mapping(`00400000-0082e000 r--p 00000000 fe:00 53085                            ${NODE}`),
    mapping(`0082e000-03489000 r-xp 0042e000 fe:00 53085                            ${NODE}`, 0, 1280),
    mapping(`072a7000-072dc000 r--p 06ea7000 fe:00 53085                            ${NODE}`, 24, 24),
    mapping(`072dc000-07308000 rw-p 06edc000 fe:00 53085                            ${NODE}`),
    mapping('7f0000000000-7f0000200000 r-xp 00000000 fe:00 77                       /lib/libc.so.6'),
    mapping('7f0000200000-7f0000400000 rw-p 00000000 00:00 0 '),
  ].join('');
  t.same(untouchedMappings(smaps, NODE), [
    { start: 0x400000n, end: 0x82e000n },
    { start: 0x82e000n, end: 0x3489000n },
  ]);
  t.same(untouchedMappings('', NODE), []);
});

t.test('a process that gave its start-up memory back runs on with less', async (t) => {
  const fileKb = (): number =>
    Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  collectGarbageOnce();
  const before = fileKb();
  releaseStartupMemory();
  t.ok(fileKb() < before * 0.75, 'pages of the executable are gone');
  t.equal(JSON.stringify([...'abc'].map((c) => c.codePointAt(0))), '[97,98,99]');
});
