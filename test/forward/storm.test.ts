import t from 'tap';
import { forwardSetting } from './setting.ts';

/** 2,000 requests a second, each answered at once, half of them with 503; virtual time. */
function storm(envoyStrict: boolean, seconds: number) {
  const setting = forwardSetting({
    envoyStrict,
    route: { retryPolicy: { retryOn: '5xx', numRetries: 3 } },
    cluster: envoyStrict ? { circuitBreakers: { thresholds: [{ maxRetries: 4_294_967_295 }] } } : {},
  });
  let answered = 0;
  let asked = 0;
  const perSecond: { requests: number; attempts: number }[] = [];
  for (let second = 0; second < seconds; second++) {
    const before = setting.attempts.length;
    for (let slice = 0; slice < 100; slice++) {
      for (let i = 0; i < 20; i++) setting.send();
      asked += 20;
      setting.connect();
      for (; answered < setting.attempts.length; answered++) {
        setting.answer(setting.attempts[answered], answered % 2 === 0 ? 503 : 200);
      }
      setting.world.advance(10);
    }
    perSecond.push({ requests: 2000, attempts: setting.attempts.length - before });
  }
  setting.world.close();
  return { asked, perSecond };
}

t.test('a retry storm: the default budget keeps the load within 1.22 of the requests', async (t) => {
  const { perSecond } = storm(false, 30);
  const after = perSecond.slice(10);
  const attempts = after.reduce((sum, one) => sum + one.attempts, 0);
  const requests = after.reduce((sum, one) => sum + one.requests, 0);
  t.ok(attempts / requests <= 1.22, String(attempts / requests));
  t.ok(attempts / requests > 1.15, 'and the budget is used');
  t.ok(Math.max(...after.map((one) => one.attempts)) <= 2000 * 1.5, 'no second is much worse');
});

t.test('the same without a limit: nearly twice the requests', async (t) => {
  const { perSecond } = storm(true, 5);
  const attempts = perSecond.reduce((sum, one) => sum + one.attempts, 0);
  t.ok(attempts / 10_000 > 1.7, String(attempts / 10_000));
});
