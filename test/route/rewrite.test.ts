import t from 'tap';
import { compilePathRewrite } from '../../src/route/rewrite.ts';

t.test('a substitution that would break the request line is refused', (t) => {
  const rewrite = (substitution: string) => () =>
    compilePathRewrite({ regexRewrite: { pattern: { regex: '^/a' }, substitution } }, -1, 'route');
  t.throws(rewrite('/b HTTP/1.1\r\nx: y'), { message: /route\.regex_rewrite\.substitution/ });
  t.throws(rewrite('/b\n'), { message: /line breaks/ });
  t.doesNotThrow(rewrite('/b'));
  t.end();
});
