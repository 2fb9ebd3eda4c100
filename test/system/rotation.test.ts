/**
 * Certificates replaced every two seconds under load between two sidecars, roots in two steps. 20 s; the long run is
 * `npm run soak:rotation`, `ROTATION_SECONDS=60` the one between.
 */
import t from 'tap';
import { runRotation } from '../support/rotation.ts';

const seconds = Number(process.env.ROTATION_SECONDS ?? '20');

t.test(
  'no request fails while certificates and roots are replaced',
  { timeout: (seconds + 60) * 1000 },
  async (t) => {
    const result = await runRotation(seconds);
    t.comment(JSON.stringify(result));
    t.same(result.failed, []);
    t.equal(result.refused, 0, 'no handshake was refused');
    t.ok(result.requests > seconds * 20, 'there was load');
    t.ok(result.rotations >= seconds / 2, 'every step was taken');
    t.ok(result.rootsReplaced >= 1);
    // Each side: a new leaf in three steps of five, a new root list in two.
    t.ok(result.updates >= 2 * result.rotations, 'both sidecars took each of them');
    t.ok(result.handshakes > 2 * result.rotations, 'new connections were made all the time');
    t.equal(result.onLiveConnection, result.rotations, 'a connection from before the first of them lived on');
    t.ok(result.oldRootRefused, 'and the first root is not trusted any more');
    t.ok(result.rssAfter - result.rssBefore < 32 * 2 ** 20, 'memory does not grow');
  },
);
