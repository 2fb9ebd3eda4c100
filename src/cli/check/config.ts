import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Address } from '#plain/envoy.config.core.v3.ts';
import { SecretStore } from '../../config/tls-secrets.ts';
import { Certificates } from '../../control/certificates.ts';
import { ConfigError } from '../../core/errors.ts';
import { formatProblems } from '../../core/format-problems.ts';
import { BUILT_IN_METRICS, BUILT_IN_NAME, usesBuiltIn } from '../built-in-bootstrap.ts';
import { dnsSettings } from '../dns-flags.ts';
import { type ConfigFlags, loadConfig } from '../validate.ts';
import { type Category, type Check, failure, skipped, success, warning } from './model.ts';

const CONNECT_LIMIT_MS = 3000;
const DAY_MS = 86_400_000;
const SHOWN_PROBLEMS = 5;

/** Undefined after a mistake, which the category names. */
export function configChecks(flags: ConfigFlags): { category: Category; bootstrap: Bootstrap | undefined } {
  const name =
    flags.configPath ?? process.env.INOX_CONFIG ?? (usesBuiltIn(flags) ? BUILT_IN_NAME : '--config-yaml');
  const description = 'the configuration is valid';
  const category = (checks: readonly Check[]): Category => ({ name: 'configuration', checks });
  try {
    const { bootstrap, inert, warnings } = loadConfig(flags);
    const checks = [success(description, name)];
    const effect = 'every setting has an effect';
    if (inert.length > 0 || warnings.length > 0)
      checks.push(
        warning(
          effect,
          `${inert.length} are accepted without effect, ${warnings.length} have warnings`,
          "'inox validate' lists them",
        ),
      );
    else checks.push(success(effect));
    return { category: category(checks), bootstrap };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const shown = error.problems.slice(0, SHOWN_PROBLEMS);
    const more = error.problems.length - shown.length;
    const found = formatProblems(shown) + (more > 0 ? `\n… and ${more} more` : '');
    return {
      category: category([failure(description, found, "'inox validate' lists every mistake")]),
      bootstrap: undefined,
    };
  }
}

/** `running`: the proxy is there already, and ports in use are its own. */
export async function portChecks(
  bootstrap: Bootstrap,
  flags: ConfigFlags,
  running: boolean,
): Promise<Category> {
  const metrics = process.env.INOX_METRICS_ADDRESS ?? (usesBuiltIn(flags) ? BUILT_IN_METRICS : '');
  const wanted = new Map<string, { host: string; port: number; who: string }>();
  const want = (who: string, host: string, port: number): void => {
    if (port !== 0) wanted.set(`${host} ${port}`, { host, port, who });
  };
  for (const { name, address, bindToPort } of bootstrap.staticResources?.listeners ?? []) {
    const socket = address?.socketAddress;
    if (bindToPort !== false && socket !== undefined)
      want(`listener ${name}`, socket.address ?? '', socket.portValue ?? 0);
  }
  const admin = bootstrap.admin?.address?.socketAddress;
  if (admin !== undefined) want('admin', admin.address ?? '', admin.portValue ?? 0);
  for (const part of metrics.split(',')) {
    const at = part.lastIndexOf(':');
    if (at > 0) want('metrics', part.slice(0, at).replaceAll(/[[\]]/g, ''), Number(part.slice(at + 1)));
  }
  for (const { ip, port } of dnsAddresses(bootstrap)) want('DNS', ip, port);
  const checks: Check[] = [];
  for (const { host, port, who } of wanted.values()) {
    const description = `port ${port} is free, for ${who}`;
    const fault = await listenFault(host, port);
    if (fault === undefined) checks.push(success(description));
    else if (fault === 'EADDRINUSE' && running)
      checks.push(success(`port ${port} is taken, for ${who}`, 'the proxy is running'));
    else checks.push(failure(description, `listening on ${host}: ${fault}`, portHint(fault, port)));
  }
  return { name: 'ports', checks };
}

/** Where the environment says that queries are answered; what it says wrongly stops the proxy, with words. */
function dnsAddresses(bootstrap: Bootstrap): readonly { readonly ip: string; readonly port: number }[] {
  try {
    return dnsSettings({}, process.env, bootstrap)?.addresses ?? [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [];
  }
}

function portHint(fault: string, port: number): string {
  if (fault === 'EACCES') return 'ports below 1024 take root or NET_BIND_SERVICE';
  if (fault === 'EADDRNOTAVAIL') return 'no interface of this machine has that address';
  return `'ss -ltnp sport = :${port}' says who has it; or choose another port in the configuration`;
}

async function listenFault(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    await once(server.listen({ host, port, exclusive: true }), 'listening');
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    server.close();
  }
}

export async function controlPlaneChecks(bootstrap: Bootstrap): Promise<Category> {
  const checks: Check[] = [];
  for (const name of controlPlaneClusters(bootstrap)) {
    const description = `control plane ${name} can be reached`;
    const cluster = bootstrap.staticResources?.clusters?.find((one) => one.name === name);
    const addresses = (cluster?.loadAssignment?.endpoints ?? [])
      .flatMap(({ lbEndpoints }) => lbEndpoints ?? [])
      .flatMap(({ endpoint }) => (endpoint?.address === undefined ? [] : [endpoint.address]));
    if (addresses.length === 0) {
      checks.push(skipped(description, 'no cluster of that name has hosts in the configuration'));
      continue;
    }
    const faults: string[] = [];
    for (const address of addresses) {
      const fault = await connectFault(address);
      if (fault === undefined) break;
      faults.push(`${addressText(address)}: ${fault}`);
    }
    checks.push(
      faults.length < addresses.length
        ? success(description)
        : failure(
            description,
            faults.join('\n'),
            'the proxy starts with what it has and keeps trying; is the address right, and its network open?',
          ),
    );
  }
  return { name: 'control plane', checks };
}

function controlPlaneClusters({ dynamicResources: dynamic }: Bootstrap): string[] {
  const sources = [
    dynamic?.adsConfig,
    dynamic?.cdsConfig?.apiConfigSource,
    dynamic?.ldsConfig?.apiConfigSource,
  ];
  const names = sources.flatMap((source) => [
    ...(source?.clusterNames ?? []),
    ...(source?.grpcServices ?? []).flatMap(({ envoyGrpc }) => envoyGrpc?.clusterName ?? []),
  ]);
  return [...new Set(names)];
}

async function connectFault({ socketAddress, pipe }: Address): Promise<string | undefined> {
  const socket =
    pipe?.path === undefined
      ? createConnection({ host: socketAddress?.address ?? '', port: socketAddress?.portValue ?? 0 })
      : createConnection({ path: pipe.path });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_LIMIT_MS) });
    return undefined;
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError')
      return `no answer within ${CONNECT_LIMIT_MS / 1000} s`;
    return error instanceof Error ? error.message : String(error);
  } finally {
    socket.destroy();
  }
}

function addressText({ socketAddress, pipe }: Address): string {
  return pipe?.path ?? `${socketAddress?.address}:${socketAddress?.portValue}`;
}

/** `envoy.admin.v3.Certificates`, as far as it is looked at. */
interface CertificateJson {
  readonly path: string;
  readonly valid_from: string;
  readonly expiration_time: string;
}

/** Those that are written in the configuration or in files that it names. */
export function configuredCertificates(bootstrap: Bootstrap): unknown {
  return new Certificates(bootstrap, new SecretStore()).json(Date.now());
}

/** `certificates` as `/certs` has them. */
export function certificateChecks(certificates: unknown, warnDays: number, nowMs = Date.now()): Category {
  const checks = new Map<string, Check>();
  for (const context of Array.isArray(certificates) ? certificates : []) {
    const { ca_cert: ca = [], cert_chain: own = [] } = context as {
      ca_cert?: CertificateJson[];
      cert_chain?: CertificateJson[];
    };
    for (const one of [...ca, ...own])
      checks.set(`${one.path} ${one.expiration_time}`, judge(one, warnDays, nowMs));
  }
  return { name: 'certificates', checks: [...checks.values()] };
}

function judge(one: CertificateJson, warnDays: number, nowMs: number): Check {
  const description = `the certificate ${one.path} is valid`;
  const renew = 'renew it: files are read again when they change, without a restart';
  if (Date.parse(one.valid_from) > nowMs)
    return failure(
      description,
      `it is valid from ${one.valid_from} on`,
      'is the clock of this machine right?',
    );
  const days = (Date.parse(one.expiration_time) - nowMs) / DAY_MS;
  if (days <= 0) return failure(description, `it expired at ${one.expiration_time}`, renew);
  if (days < warnDays)
    return warning(description, `it expires in ${days.toFixed(1)} days, at ${one.expiration_time}`, renew);
  return success(description, `until ${one.expiration_time}`);
}
