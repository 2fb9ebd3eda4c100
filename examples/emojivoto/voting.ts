/** The voting service: counts votes. A vote for the doughnut fails on purpose: something must be wrong to be found. */
import { GrpcError, serve, status } from './grpc.ts';

const votes = new Map<string, number>();

serve('VotingService', {
  Vote: ({ shortcode }) => {
    const count = (votes.get(shortcode) ?? 0) + 1;
    votes.set(shortcode, count);
    return { shortcode, votes: count };
  },
  VoteDoughnut: () => {
    throw new GrpcError(status.UNKNOWN, 'voting for the doughnut fails on purpose');
  },
  Results: () => {
    const results = [...votes].map(([shortcode, count]) => ({ shortcode, votes: count }));
    return { results: results.sort((a, b) => b.votes - a.votes) };
  },
});
