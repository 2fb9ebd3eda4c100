import type { Logger } from '../core/log.ts';
import { type TlsObserver, tlsErrorText } from '../net/tls-session.ts';
import type { Counter, StatScope } from '../stats/scope.ts';

export interface TlsStats extends TlsObserver {
  onUpdateFailed(error: unknown): void;
}

/** `listener.<address>.ssl.*` or `cluster.<name>.ssl.*`; a handshake that fails also gets a line in the log. */
export function createTlsStats(parent: StatScope, log: Logger, peerKind: 'client' | 'host'): TlsStats {
  const scope = parent.scope('ssl');
  const handshake = scope.counter('handshake');
  const reused = scope.counter('session_reused');
  const noCertificate = scope.counter('no_certificate');
  const connectionError = scope.counter('connection_error');
  const refused = {
    no_cert: scope.counter('fail_verify_no_cert'),
    error: scope.counter('fail_verify_error'),
    san: scope.counter('fail_verify_san'),
    cert_hash: scope.counter('fail_verify_cert_hash'),
  };
  for (const name of [
    'ocsp_staple_failed',
    'ocsp_staple_omitted',
    'ocsp_staple_responses',
    'ocsp_staple_requests',
    'was_key_usage_invalid',
  ]) {
    scope.counter(name);
  }
  const notReady = parent.counter(
    peerKind === 'client'
      ? 'server_ssl_socket_factory.downstream_context_secrets_not_ready'
      : 'client_ssl_socket_factory.upstream_context_secrets_not_ready',
  );
  const named = new NamedCounters(scope);
  const explain = (peer: string, what: string): void => {
    log.log('info', 'connection', `TLS with ${peerKind} ${peer} failed: ${what}`);
  };
  return {
    onHandshake: (info, wasReused) => {
      handshake.inc();
      if (wasReused) reused.inc();
      if (info.peer === null) noCertificate.inc();
      named.count('versions', info.version);
      named.count('ciphers', info.cipher);
    },
    onBroken: (error, peer) => {
      if (error !== null) connectionError.inc();
      explain(peer, error === null ? 'the connection was closed within the handshake' : tlsErrorText(error));
    },
    onRefused: (refusal, peer, serverName) => {
      refused[refusal.kind].inc();
      const asked = serverName === '' ? '' : ` (asked for ${serverName})`;
      explain(peer, `${refusal.message}${asked}`);
    },
    onNotReady: (peer) => {
      notReady.inc();
      explain(peer, 'a secret is not there yet');
    },
    onUpdateFailed: (error) => {
      const message = error instanceof Error ? error.message : String(error);
      log.log('error', 'connection', `a new TLS secret is not usable, the old one stays: ${message}`);
    },
  };
}

/** `versions.TLSv1.3`, `ciphers.…`: made when first seen. */
class NamedCounters {
  readonly #scope: StatScope;
  readonly #counters = new Map<string, Counter>();

  constructor(scope: StatScope) {
    this.#scope = scope;
  }

  count(kind: string, name: string): void {
    if (name === '') return;
    const key = `${kind}.${name}`;
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      const label = kind === 'versions' ? 'envoy_ssl_version' : 'envoy_ssl_cipher';
      counter = this.#scope.counter(key, { name: kind, tags: { [label]: name } });
      this.#counters.set(key, counter);
    }
    counter.inc();
  }
}
