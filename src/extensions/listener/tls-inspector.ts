import { createHash } from 'node:crypto';
import type { TlsInspector } from '#plain/envoy.extensions.filters.listener.tls_inspector.v3.ts';
import type { ListenerContext, ListenerFilterExtension } from '../../config/context.ts';
import type { ListenerFilter } from '../../net/listener-filter.ts';
import { type ClientHello, ja3Text, readClientHello } from '../../net/tls-client-hello.ts';

export const tlsInspector: ListenerFilterExtension = {
  kind: 'listener',
  name: 'envoy.filters.listener.tls_inspector',
  type: 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
  compile: compileTlsInspector,
};

const MAX_CLIENT_HELLO = 16 * 1024;
/** A TLS record header: with less nobody knows. */
const DECIDING_BYTES = 5;

/** Finds out whether the client speaks TLS, and what its ClientHello asks for. */
function compileTlsInspector(value: object, ctx: ListenerContext): ListenerFilter {
  const config: TlsInspector = value;
  const fingerprint = config.enableJa3Fingerprinting ?? false;
  const scope = ctx.stats.scope('tls_inspector');
  const found = scope.counter('tls_found');
  const notFound = scope.counter('tls_not_found');
  const tooLarge = scope.counter('client_hello_too_large');
  const alpnFound = scope.counter('alpn_found');
  const alpnNotFound = scope.counter('alpn_not_found');
  const sniFound = scope.counter('sni_found');
  const sniNotFound = scope.counter('sni_not_found');
  const processed = scope.histogram('bytes_processed', 'bytes');
  return {
    inspect: (accepted, bytes) => {
      const hello = readClientHello(bytes.subarray(0, MAX_CLIENT_HELLO));
      if (hello === 'more') {
        if (bytes.length < MAX_CLIENT_HELLO) return 'more';
        tooLarge.inc();
        processed.record(MAX_CLIENT_HELLO);
        return 'close';
      }
      if (hello === 'no') {
        notFound.inc();
        processed.record(DECIDING_BYTES);
        return 'done';
      }
      found.inc();
      processed.record(hello.size);
      (hello.serverName === '' ? sniNotFound : sniFound).inc();
      (hello.protocols.length === 0 ? alpnNotFound : alpnFound).inc();
      accepted.transportProtocol = 'tls';
      accepted.serverName = hello.serverName.toLowerCase();
      if (hello.protocols.length > 0) accepted.applicationProtocols = hello.protocols;
      if (fingerprint) accepted.ja3 = ja3Of(hello);
      return 'done';
    },
  };
}

function ja3Of(hello: ClientHello): string {
  return createHash('md5').update(ja3Text(hello)).digest('hex');
}
