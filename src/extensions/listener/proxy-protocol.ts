import type { ProxyProtocol } from '#plain/envoy.extensions.filters.listener.proxy_protocol.v3.ts';
import type { ListenerContext, ListenerFilterExtension } from '../../config/context.ts';
import { compileTlvs } from '../../config/pass-through-tlvs.ts';
import type { Accepted, ListenerFilter, Verdict } from '../../net/listener-filter.ts';
import { mayBecome, type ProxyHeader, readProxyHeader } from '../../net/proxy-protocol.ts';
import type { Counter, StatScope } from '../../stats/scope.ts';

export const proxyProtocol: ListenerFilterExtension = {
  kind: 'listener',
  name: 'envoy.filters.listener.proxy_protocol',
  type: 'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
  compile: compileProxyProtocol,
};

type Version = 'V1' | 'V2';

interface VersionStats {
  readonly found: Counter;
  readonly disallowed: Counter;
  readonly error: Counter;
}

/** Reads who the client is from the PROXY header that a load balancer put in front of its bytes. */
function compileProxyProtocol(value: object, ctx: ListenerContext): ListenerFilter {
  const config: ProxyProtocol = value;
  const optional = config.allowRequestsWithoutProxyProtocol ?? false;
  const disallowed = new Set<Version>(config.disallowedVersions);
  const root = ctx.stats.scope('proxy_proto');
  const scope = config.statPrefix ? root.scope(config.statPrefix) : root;
  const notFoundAllowed = scope.counter('not_found_allowed');
  const notFoundDisallowed = scope.counter('not_found_disallowed');
  const versions = { V1: versionStats(scope, 'v1'), V2: versionStats(scope, 'v2') };
  // Of all listeners together, as Envoy has it.
  const anyError = ctx.stats.counter('downstream_cx_proxy_proto_error');
  const restore = compileRestore(config);
  const wanted = (version: Version, bytes: Buffer): boolean =>
    !disallowed.has(version) && mayBecome(version, bytes);
  return {
    inspect: (accepted, bytes): Verdict => {
      if (bytes.length === 0) return 'more';
      if (optional && !wanted('V2', bytes) && !wanted('V1', bytes)) {
        notFoundAllowed.inc();
        return 'done';
      }
      const parsed = readProxyHeader(bytes);
      if (parsed.kind === 'more') return 'more';
      const version = parsed.kind === 'header' ? parsed.header.version : parsed.version;
      if (version !== null && disallowed.has(version)) {
        versions[version].found.inc();
        versions[version].disallowed.inc();
        return 'close';
      }
      if (parsed.kind === 'bad') {
        anyError.inc();
        (version === null ? notFoundDisallowed : versions[version].error).inc();
        return 'close';
      }
      versions[parsed.header.version].found.inc();
      restore(accepted, parsed.header);
      return { drain: parsed.header.size };
    },
  };
}

function versionStats(scope: StatScope, version: string): VersionStats {
  const own = scope.scope(`versions.${version}`);
  return { found: own.counter('found'), disallowed: own.counter('disallowed'), error: own.counter('error') };
}

const NAMESPACE = 'envoy.filters.listener.proxy_protocol';

/** Sets the addresses, and what `rules` say about TLVs. */
function compileRestore(config: ProxyProtocol): (accepted: Accepted, header: ProxyHeader) => void {
  const rules = new Map<number, { readonly namespace: string; readonly key: string }>();
  for (const { tlvType = 0, onTlvPresent } of config.rules ?? []) {
    const namespace = onTlvPresent?.metadataNamespace || NAMESPACE;
    rules.set(0xff & tlvType, { namespace, key: onTlvPresent?.key ?? '' });
  }
  const passed = compileTlvs(config.passThroughTlvs);
  return (accepted, header) => {
    const { source, destination } = header;
    if (source !== null && destination !== null) {
      accepted.remote = source;
      accepted.local = destination;
    }
    accepted.tlvs = header.tlvs.filter(passed);
    for (const { type, value } of header.tlvs) {
      const to = rules.get(type);
      if (to === undefined) continue;
      accepted.metadata ??= {};
      accepted.metadata[to.namespace] ??= {};
      const noted = accepted.metadata[to.namespace];
      if (noted !== undefined) noted[to.key] ??= value.toString('utf8');
    }
  };
}
