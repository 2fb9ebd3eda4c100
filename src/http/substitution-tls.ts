import { printable } from '../core/wire.ts';
import type { TlsCertificate, TlsInfo } from '../net/transport.ts';
import type { AccessLogInfo } from './access-log-info.ts';
import { urlEncodedPem } from './client-cert.ts';
import { orNone, type Text } from './substitution-headers.ts';
import { compileTimeFormat } from './time-format.ts';

type Compile = (argument: string | undefined, path: string) => { text: Text };
type CertificateOf = (x: AccessLogInfo) => TlsCertificate | null;

const downstream = (x: AccessLogInfo): TlsInfo | null => x.downstream.tls ?? null;
const upstream = (x: AccessLogInfo): TlsInfo | null => x.upstreamTls ?? null;

/** Names of a certificate's texts, as they end the operators' names. */
const CERTIFICATE: Readonly<Record<string, (certificate: TlsCertificate) => string>> = {
  SUBJECT: (one) => one.subject,
  ISSUER: (one) => one.issuer,
  URI_SAN: (one) => one.uriSans.join(','),
  DNS_SAN: (one) => one.dnsSans.join(','),
  IP_SAN: (one) => one.ipSans.join(','),
  EMAIL_SAN: (one) => one.emailSans.join(','),
  SERIAL: (one) => one.serial,
  FINGERPRINT_256: (one) => one.fingerprint,
  FINGERPRINT_1: (one) => one.fingerprintSha1,
  CERT: (one) => urlEncodedPem(one.pem),
};
/** Envoy has fewer of the upstream. */
const UPSTREAM_PEER = ['SUBJECT', 'ISSUER', 'URI_SAN', 'DNS_SAN', 'IP_SAN', 'CERT'];
const OWN = ['SUBJECT', 'URI_SAN', 'DNS_SAN', 'IP_SAN', 'EMAIL_SAN'];

function certificateOperators(
  prefix: string,
  of: CertificateOf,
  names: readonly string[],
): Record<string, Compile> {
  const operators: Record<string, Compile> = {};
  for (const name of names) {
    const text = CERTIFICATE[name];
    if (text === undefined) continue;
    operators[`${prefix}_${name}`] = () => ({
      text: (x) => {
        const certificate = of(x);
        return certificate === null ? undefined : orNone(printable(text(certificate)));
      },
    });
  }
  return operators;
}

/** Envoy's default of START_TIME is not that of these. */
const DATE_FORMAT = '%Y-%m-%dT%H:%M:%S.000Z';

function dateOperator(of: CertificateOf, date: (certificate: TlsCertificate) => Date): Compile {
  return (argument) => {
    const format = compileTimeFormat(argument === undefined || argument === '' ? DATE_FORMAT : argument);
    return {
      text: (x) => {
        const certificate = of(x);
        return certificate === null ? undefined : format(date(certificate).getTime());
      },
    };
  };
}

function side(
  name: string,
  of: (x: AccessLogInfo) => TlsInfo | null,
  peerNames: readonly string[],
  ownNames: readonly string[],
): Record<string, Compile> {
  const peer: CertificateOf = (x) => of(x)?.peer ?? null;
  const own: CertificateOf = (x) => of(x)?.own ?? null;
  return {
    [`${name}_TLS_VERSION`]: () => ({ text: (x) => orNone(of(x)?.version ?? '') }),
    [`${name}_TLS_CIPHER`]: () => ({ text: (x) => orNone(of(x)?.cipher ?? '') }),
    [`${name}_TLS_SESSION_ID`]: () => ({ text: (x) => orNone(of(x)?.sessionId ?? '') }),
    ...certificateOperators(`${name}_PEER`, peer, peerNames),
    ...certificateOperators(`${name}_LOCAL`, own, ownNames),
    [`${name}_PEER_CERT_V_START`]: dateOperator(peer, (one) => one.notBefore),
    [`${name}_PEER_CERT_V_END`]: dateOperator(peer, (one) => one.notAfter),
  };
}

/** What may be asked of the TLS of both connections; without TLS, or without a certificate, there is no value. */
export const TLS_OPERATORS: Readonly<Record<string, Compile>> = {
  ...side('DOWNSTREAM', downstream, Object.keys(CERTIFICATE), OWN),
  ...side('UPSTREAM', upstream, UPSTREAM_PEER, []),
};

/** Those that take a time format in parentheses. */
export const TLS_DATE_OPERATORS: readonly string[] = Object.keys(TLS_OPERATORS).filter((name) =>
  /_V_(?:START|END)$/.test(name),
);
