import t from 'tap';
import { closest, didYouMean } from '../../src/core/suggest.ts';

const fields = ['connect_timeout', 'type', 'name', 'lb_policy', 'load_assignment', 'dns_lookup_family'];
const cases: readonly [word: string, expected: string | undefined][] = [
  ['conect_timeout', 'connect_timeout'],
  ['connectTimeout', 'connect_timeout'],
  ['connect-timeout', 'connect_timeout'],
  ['timeout_connect', undefined],
  ['tpye', 'type'],
  ['nmae', 'name'],
  ['lbPolicy', 'lb_policy'],
  ['dns_lookup_famliy', 'dns_lookup_family'],
  ['zebra', undefined],
  ['', undefined],
];

t.test('finds the field that was probably meant', async (t) => {
  for (const [word, expected] of cases) t.equal(closest(word, fields), expected, word);
});

t.test('says nothing when nothing is similar', async (t) => {
  t.equal(didYouMean('zebra', fields), '');
  t.equal(didYouMean('nam', fields), ', did you mean "name"?');
});
