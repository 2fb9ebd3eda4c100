/** The web front: a page and an API over emoji and voting. Arguments: port, outbound port of the own sidecar. */
import { readFileSync } from 'node:fs';
import { type Answer, call, serve } from './app.ts';

const outbound = Number(process.argv[3]);
const page = readFileSync(new URL('page.html', import.meta.url), 'utf8');

serve(async (_method, url) => {
  switch (url.pathname) {
    case '/':
      return { status: 200, body: page };
    case '/api/list':
      return call(outbound, 'emoji', 'GET', '/emoji');
    case '/api/leaderboard':
      return call(outbound, 'voting', 'GET', '/votes');
    case '/api/vote':
      return vote(url.searchParams.get('choice') ?? '');
    default:
      return { status: 404, body: { error: 'not found' } };
  }
});

async function vote(choice: string): Promise<Answer> {
  const found = await call(
    outbound,
    'emoji',
    'GET',
    `/emoji/${encodeURIComponent(choice).replaceAll('%3A', ':')}`,
  );
  if (found.status !== 200) return found;
  return call(outbound, 'voting', 'POST', `/votes/${choice}`);
}
