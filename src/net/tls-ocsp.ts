import { Server, type TLSSocketOptions } from 'node:tls';

/** Options that make a TLSSocket pass `staple` (DER) on to clients that ask for it; none without a staple. */
export function stapling(staple: Buffer | undefined): TLSSocketOptions {
  if (staple === undefined) return {};
  // Node asks the socket's server, which need not listen.
  const server = new Server();
  server.on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, staple));
  return { server, SNICallback: (_name, done) => done(null) };
}
