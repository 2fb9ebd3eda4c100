import type { ListenerContext, ListenerFilterExtension } from '../../config/context.ts';
import { ConfigError } from '../../core/errors.ts';
import { formatAddress } from '../../net/address.ts';
import type { Address } from '../../net/connection.ts';
import type { ListenerFilter } from '../../net/listener-filter.ts';
import { originalDestination } from '../../net/original-dst.ts';

export const originalDst: ListenerFilterExtension = {
  kind: 'listener',
  name: 'envoy.filters.listener.original_dst',
  type: 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst',
  compile: compileOriginalDst,
};

/** The local address becomes the one that the client dialled before iptables REDIRECT brought it here. */
function compileOriginalDst(_config: object, ctx: ListenerContext): ListenerFilter {
  if (process.getBuiltinModule('node:ffi') === undefined) {
    throw ConfigError.at('', 'needs node:ffi, which Node has since 26.9 (and not when it is switched off)');
  }
  const looped = ctx.stats.scope('original_dst').counter('looped');
  let warned = false;
  ctx.outgoing.watch();
  return {
    inspect: (accepted) => {
      const { directLocal, directRemote } = accepted;
      const descriptor = accepted.descriptor();
      if (directLocal.path !== '' || descriptor < 0) return 'done';
      const dialled = originalDestination(descriptor, directRemote.ip.includes(':') ? 'IPv6' : 'IPv4');
      // Nobody redirected it when the kernel does not know it or knows the same address.
      if (dialled !== undefined && (dialled.ip !== directLocal.ip || dialled.port !== directLocal.port)) {
        accepted.local = dialled;
      } else if (ctx.transparent) {
        // TPROXY leaves the addresses as they were: those of the socket are what the client dialled.
        accepted.local = { ...accepted.local };
      }
      if (accepted.local === directLocal || !ctx.outgoing.has(directRemote, accepted.local)) return 'done';
      accepted.looped = true;
      looped.inc();
      if (!warned) ctx.log.log('warning', 'connection', loopMessage(accepted.local));
      warned = true;
      return 'done';
    },
  };
}

function loopMessage(destination: Address): string {
  const to = formatAddress(destination);
  return `a connection of this proxy to ${to} came back to it: do the rules know its user?`;
}
