/**
 * h2spec against the real program and, where it is installed, against Envoy in the same run: inox fails in no case
 * that Envoy passes. h2spec is built once by the Go tool chain; H2SPEC names another binary. Takes about 10 s.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type HttpBootstrap, httpBootstrap } from '../support/http-bootstrap.ts';
import { InoxProcess } from '../support/inox-process.ts';
import { freePort } from '../support/ports.ts';
import { httpAnswers, startWireBackend } from '../support/wire-peer.ts';
import { proxyKind, RunningProxy } from './envoy/proxy.ts';
import { hasEnvoy } from './envoy-beside.ts';
import { findH2spec } from './h2spec-binary.ts';

const TLS = join(import.meta.dirname, '..', 'support', 'tls');
const DOWNSTREAM_TLS = 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
/** Cases that inox fails, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {};

const folder = mkdtempSync(join(tmpdir(), 'inox-h2spec-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const binary = findH2spec();
const body = 'x'.repeat(100);

const noBinary = binary === undefined ? 'no h2spec and no Go to build it' : false;
t.setTimeout(240_000);

t.test('h2spec without TLS: no failure where Envoy has none', { skip: noBinary }, (t) => compare(t, ''));

t.test('h2spec over TLS: no failure where Envoy has none', { skip: noBinary }, async (t) => {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  copyFileSync(join(TLS, 'server.key'), key);
  copyFileSync(join(TLS, 'server.crt'), certificate);
  const files = `{certificate_chain: {filename: ${certificate}}, private_key: {filename: ${key}}}`;
  const common = `{alpn_protocols: [h2], tls_certificates: [${files}]}`;
  await compare(
    t,
    `{name: tls, typed_config: {"@type": type.googleapis.com/${DOWNSTREAM_TLS}, common_tls_context: ${common}}}`,
  );
});

/** `transportSocket`: YAML of the filter chain's, '' for none. */
async function compare(t: Test, transportSocket: string): Promise<void> {
  const backend = await startWireBackend(
    httpAnswers(() => Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`)),
  );
  t.teardown(backend.close);
  const bootstrap = (parts: Partial<HttpBootstrap>): string => {
    const yaml = httpBootstrap({ backend: backend.port, hcm: 'codec_type: HTTP2', ...parts });
    if (transportSocket === '') return yaml;
    return yaml.replace('    - filters:', `    - transport_socket: ${transportSocket}\n      filters:`);
  };
  const tls = transportSocket !== '';
  const inox = await InoxProcess.start(bootstrap({ admin: true }), ['--concurrency', '1']);
  t.teardown(() => inox.stop());
  const ours = await h2spec(inox.port, tls);
  t.comment(`inox: ${ours.passed} of ${ours.total} passed`);
  t.ok(ours.total >= 145, `${ours.total} cases`);
  const surprising = ours.failed.filter((name) => EXCEPTIONS[name] === undefined);
  t.strictSame(surprising, [], 'every failure is named with its reason');
  // Whoever fails in nothing need not wait a minute to see where Envoy does.
  if (ours.failed.length === 0 || !hasEnvoy()) return;
  const [admin, port] = [await freePort(), await freePort()];
  const top = `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${admin}}}}`;
  const file = join(folder, `${port}.yaml`);
  writeFileSync(file, bootstrap({ port, top }).replaceAll('LOG', '/dev/null'));
  const envoy = await RunningProxy.start(
    proxyKind('envoy', () => false),
    file,
    admin,
  );
  t.teardown(() => envoy.stop());
  const theirs = await h2spec(port, tls);
  t.comment(`Envoy: ${theirs.passed} of ${theirs.total} passed`);
  const worse = ours.failed.filter((name) => !theirs.failed.includes(name));
  t.strictSame(worse, [], 'nothing fails that Envoy passes');
}

interface Report {
  readonly total: number;
  readonly passed: number;
  /** `package: description` */
  readonly failed: readonly string[];
}

function h2spec(port: number, tls: boolean): Promise<Report> {
  const file = join(folder, `${port}.xml`);
  const flags = ['-h', '127.0.0.1', '-p', String(port), '-o', '1', '-j', file, ...(tls ? ['-t', '-k'] : [])];
  return new Promise((resolve, reject) => {
    execFile(binary ?? '', flags, { timeout: 110_000 }, (error) => {
      if (!existsSync(file)) reject(new Error('h2spec wrote no report', { cause: error }));
      else resolve(readReport(readFileSync(file, 'utf8')));
    });
  });
}

function readReport(xml: string): Report {
  const failed: string[] = [];
  let total = 0;
  for (const [, attributes = '', content = ''] of xml.matchAll(
    /<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    total++;
    const name = /classname="([^"]*)"/.exec(attributes)?.[1] ?? '';
    const part = /package="([^"]*)"/.exec(attributes)?.[1] ?? '';
    if (/<(?:failure|error)/.test(content)) failed.push(`${part}: ${name}`);
  }
  return { total, passed: total - failed.length, failed };
}
