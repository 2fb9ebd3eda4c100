import type { Logger } from '../core/log.ts';
import type { AccessLogger, AccessLogInfo } from '../http/access-log-info.ts';
import { formatFlags } from '../http/response-flags.ts';
import type { AcceptPlan } from '../net/accept.ts';
import { formatAddress } from '../net/address.ts';
import type { ConnectionObserver } from '../net/socket-connection.ts';

/**
 * What `-l debug` tells of connections and requests, so that an operator sees without an access log where a request
 * went and why it failed. Added where the parts are put together, so that codecs and forwarding know nothing of it;
 * at other levels each hook costs one comparison.
 */
export function debugAccessLog(log: Logger): AccessLogger {
  return {
    log: (info) => {
      if (!log.enabled('debug')) return;
      log.log('debug', info.request === null ? 'tcp' : 'http', describe(info));
    },
  };
}

/** Wraps what a listener does: says who connected, and when the connection was closed. */
export function debugPlan(plan: AcceptPlan, listener: string, log: Logger): AcceptPlan {
  return {
    ...plan,
    serve: (connection, chain) => {
      if (log.enabled('debug')) {
        const { id, remote, local } = connection;
        const ends = `${formatAddress(remote)} to ${formatAddress(local)}`;
        const through = chain.name === '' ? '' : `, filter chain '${chain.name}'`;
        log.log('debug', 'listener', `[C${id}] connection from ${ends}, listener '${listener}'${through}`);
      }
      plan.serve(connection, chain);
    },
    observer: debugClosed(plan.observer, log),
    events: {
      ...plan.events,
      onUnserved: (why, arrival, reason) => {
        plan.events.onUnserved(why, arrival, reason);
        if (!log.enabled('debug')) return;
        const ends = `${formatAddress(arrival.remote)} to ${formatAddress(arrival.local)}`;
        const details = reason === null ? why : `${why}: ${reason.details}`;
        log.log('debug', 'listener', `[C${arrival.id}] closed ${ends}, listener '${listener}': ${details}`);
      },
    },
  };
}

function debugClosed(observer: ConnectionObserver, log: Logger): ConnectionObserver {
  return {
    onOpen: () => observer.onOpen(),
    onClosed: (lengthMs, id) => {
      observer.onClosed(lengthMs, id);
      if (log.enabled('debug')) {
        log.log('debug', 'listener', `[C${id}] connection closed after ${Math.round(lengthMs)} ms`);
      }
    },
  };
}

/** `[C4] GET a.example/x → 503 UF (details), route 'r', cluster 'c', host 127.0.0.1:80, 3 ms: Connection refused` */
function describe(info: AccessLogInfo): string {
  const { request, upstreamHost, responseFlags, responseCodeDetails } = info;
  const asked = request === null ? 'TCP' : `${request.method} ${request.authority}${request.path}`;
  const status = request === null ? '' : ` ${info.response?.status ?? 0}`;
  const flags = responseFlags === 0 ? '' : ` ${formatFlags(responseFlags)}`;
  const details = responseCodeDetails === '' ? '' : ` (${responseCodeDetails})`;
  const facts = [
    info.routeName === '' ? '' : `route '${info.routeName}'`,
    info.upstreamCluster === '' ? '' : `cluster '${info.upstreamCluster}'`,
    upstreamHost === null ? 'no host' : `host ${formatAddress(upstreamHost)}`,
    `${info.bytesReceived} B in, ${info.bytesSent} B out`,
    `${Math.round(info.endMs - info.startMs)} ms`,
  ];
  const { upstreamTransportFailure: failure } = info;
  const why = failure === '' || details.includes(failure) ? '' : `: ${failure}`;
  const told = facts.filter((fact) => fact !== '').join(', ');
  return `[C${info.downstream.connectionId}] ${asked} →${status}${flags}${details} ${told}${why}`;
}
