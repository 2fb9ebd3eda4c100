/** The web front: a page and an API over emoji and voting. Arguments: port, outbound port of the own sidecar. */
import { readFileSync } from 'node:fs';
import { type Answer, serve } from './app.ts';
import { type Emoji, RemoteService, status, type Votes } from './grpc.ts';

const outbound = Number(process.argv[3]);
const page = readFileSync(new URL('page.html', import.meta.url), 'utf8');
const emoji = new RemoteService('EmojiService', 'emoji', outbound);
const voting = new RemoteService('VotingService', 'voting', outbound);

serve(async (_method, url) => {
  switch (url.pathname) {
    case '/':
      return { status: 200, body: page };
    case '/api/list':
      return answer(async () => (await emoji.call<{ list: Emoji[] }>('ListAll', {})).list);
    case '/api/leaderboard':
      return answer(async () => (await voting.call<{ results: Votes[] }>('Results', {})).results);
    case '/api/vote':
      return answer(() => vote(url.searchParams.get('choice') ?? ''));
    default:
      return { status: 404, body: { error: 'not found' } };
  }
});

async function vote(shortcode: string): Promise<Votes> {
  await emoji.call('FindByShortcode', { shortcode });
  return voting.call(shortcode === ':doughnut:' ? 'VoteDoughnut' : 'Vote', { shortcode });
}

/** What gRPC says becomes what a browser understands. */
async function answer(work: () => Promise<unknown>): Promise<Answer> {
  try {
    return { status: 200, body: await work() };
  } catch (error) {
    const { code, details } = error as { code?: number; details?: string };
    return { status: code === status.NOT_FOUND ? 404 : 500, body: { error: details ?? String(error) } };
  }
}
