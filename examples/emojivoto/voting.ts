/** The voting service: counts votes. A vote for the doughnut fails on purpose: something must be wrong to be found. */
import { serve } from './app.ts';

const votes = new Map<string, number>();

serve((method, url) => {
  const [, collection, shortcode] = url.pathname.split('/');
  if (method === 'POST' && collection === 'votes' && shortcode !== undefined) {
    if (shortcode === ':doughnut:')
      return { status: 500, body: { error: 'voting for the doughnut fails on purpose' } };
    const count = (votes.get(shortcode) ?? 0) + 1;
    votes.set(shortcode, count);
    return { status: 200, body: { shortcode, votes: count } };
  }
  if (method === 'GET' && collection === 'votes') {
    const results = [...votes].map(([shortcode, count]) => ({ shortcode, votes: count }));
    return { status: 200, body: results.sort((a, b) => b.votes - a.votes) };
  }
  return { status: 404, body: { error: 'not found' } };
});
