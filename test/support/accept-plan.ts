import { TurnClock } from '../../src/core/clock.ts';
import { TimerWheel } from '../../src/core/timer-wheel.ts';
import type { AcceptPlan } from '../../src/net/accept.ts';
import { PLAIN_ACCEPT } from '../../src/net/connection.ts';
import type { ConnectionHandler } from '../../src/net/listener.ts';

/** The plan of a listener with one filter chain, which is `handler`; `changes` make it another. */
export function createAcceptPlan(handler: ConnectionHandler, changes: Partial<AcceptPlan> = {}): AcceptPlan {
  const clock = new TurnClock();
  const chain = { name: '', transport: null, transportTimeoutMs: 0, handler };
  return {
    direct: chain,
    directInfo: PLAIN_ACCEPT,
    filters: [],
    filtersTimeoutMs: 15_000,
    continueOnTimeout: false,
    choose: () => chain,
    admit: null,
    serve: (connection, chosen) => chosen.handler(connection),
    observer: { onOpen: () => {}, onClosed: () => {} },
    events: { onPreOpen: () => {}, onPreClosed: () => {}, onFilterTimeout: () => {}, onUnserved: () => {} },
    wheel: new TimerWheel(clock),
    now: () => clock.now(),
    live: new Set(),
    ...changes,
  };
}
