import { printable } from '../core/wire.ts';
import type { TlsCertificate, TlsInfo } from '../net/transport.ts';
import { getAllHeaders, type Headers, removeHeader, setHeader } from './headers.ts';

const NAME = 'x-forwarded-client-cert';

/** `forward_client_cert_details` and `set_current_client_cert_details` of a connection manager. */
export interface ClientCertRules {
  readonly mode: 'SANITIZE' | 'FORWARD_ONLY' | 'APPEND_FORWARD' | 'SANITIZE_SET' | 'ALWAYS_FORWARD_ONLY';
  readonly cert: boolean;
  readonly chain: boolean;
  readonly subject: boolean;
  readonly uri: boolean;
  readonly dns: boolean;
  /** What connections say of their client, put together with their first request. */
  readonly texts: WeakMap<TlsInfo, string>;
}

/** Brings `x-forwarded-client-cert` into the state that the rules want, as Envoy does. `present`: the request has one. */
export function applyClientCert(
  headers: Headers,
  rules: ClientCertRules,
  tls: TlsInfo | null,
  present: boolean,
): void {
  const { mode } = rules;
  if (mode === 'ALWAYS_FORWARD_ONLY') return;
  const peer = tls?.peer ?? null;
  if (mode === 'SANITIZE' || tls === null || peer === null) {
    if (present) removeHeader(headers, NAME);
    return;
  }
  if (mode === 'FORWARD_ONLY') return;
  let text = rules.texts.get(tls);
  if (text === undefined) {
    text = describe(rules, peer, tls.own);
    rules.texts.set(tls, text);
  }
  const before = present && mode === 'APPEND_FORWARD' ? getAllHeaders(headers, NAME) : undefined;
  setHeader(headers, NAME, before === undefined ? text : `${before},${text}`);
}

function describe(rules: ClientCertRules, peer: TlsCertificate, own: TlsCertificate | null): string {
  const parts = (own?.uriSans ?? []).map((uri) => `By=${uri}`);
  parts.push(`Hash=${peer.fingerprint}`);
  if (rules.cert) parts.push(`Cert="${urlEncodedPem(peer.pem)}"`);
  if (rules.chain) parts.push(`Chain="${urlEncodedPem(peer.chainPem)}"`);
  if (rules.subject) parts.push(`Subject="${peer.subject}"`);
  if (rules.uri)
    parts.push(...(peer.uriSans.length === 0 ? ['URI='] : peer.uriSans.map((uri) => `URI=${uri}`)));
  if (rules.dns) parts.push(...peer.dnsSans.map((name) => `DNS=${name}`));
  return printable(parts.join(';'));
}

const ENCODED: Readonly<Record<string, string>> = {
  '\n': '%0A',
  ' ': '%20',
  '+': '%2B',
  '/': '%2F',
  '=': '%3D',
};

/** PEM in a header, as Envoy writes it. */
export function urlEncodedPem(pem: string): string {
  return pem.replace(/[\n +/=]/g, (c) => ENCODED[c] ?? c);
}
