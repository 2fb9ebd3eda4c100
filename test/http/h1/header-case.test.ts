import t from 'tap';
import { HeadWriter } from '../../../src/http/h1/head-writer.ts';
import { PROPER_CASE, writtenNames } from '../../../src/http/h1/header-case.ts';

t.test('proper case: a letter behind anything but letters and digits is capital', async (t) => {
  const cases: readonly (readonly [name: string, proper: string])[] = [
    ['content-type', 'Content-Type'],
    ['foo$b#$are', 'Foo$B#$Are'],
    ['x-b3-traceid', 'X-B3-Traceid'],
    ['x-3d-a', 'X-3d-A'],
    ['a', 'A'],
    ['-a', '-A'],
    ['te', 'Te'],
  ];
  for (const [name, proper] of cases) t.equal(PROPER_CASE.format(name), proper);
});

t.test('names are kept as they were written, the first of several', async (t) => {
  const text = 'GET / HTTP/1.1\r\nHOST: a\r\nX-aB:1\r\nx-Ab: 2\r\nEmpty:\r\n\r\nBody: no\r\n';
  const end = text.indexOf('\r\n\r\n') + 4;
  const names = writtenNames(text, end, { forwardReason: false, properOthers: false });
  t.equal(names.format('host'), 'HOST');
  t.equal(names.format('x-ab'), 'X-aB');
  t.equal(names.format('empty'), 'Empty');
  t.equal(names.format('body'), 'body');
  t.equal(names.format('x-own'), 'x-own');
  const proper = writtenNames(text, end, { forwardReason: false, properOthers: true });
  t.equal(proper.format('x-own'), 'X-Own');
  t.equal(proper.format('x-ab'), 'X-aB');
});

t.test('a head without fields has no names', async (t) => {
  const text = 'HTTP/1.1 200 OK\r\n\r\n';
  const names = writtenNames(text, text.length, { forwardReason: true, properOthers: false });
  t.equal(names.format('x'), 'x');
});

t.test('framing fields are recognised whatever their case will be', async (t) => {
  const writer = new HeadWriter();
  const fields = ['connection', 'close', 'content-length', '3', 'x-a', 'b'];
  t.equal(writer.fields(fields, true, PROPER_CASE), 'Content-Length: 3\r\nX-A: b\r\n');
  t.equal(writer.close, true);
  t.equal(writer.contentLength, 3);
});
