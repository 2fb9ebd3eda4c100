import { isIPv6 } from 'node:net';
import type { OriginalSrc } from '#plain/envoy.extensions.filters.listener.original_src.v3.ts';
import type { ListenerFilterExtension } from '../../config/context.ts';
import { ConfigError } from '../../core/errors.ts';
import type { ListenerFilter } from '../../net/listener-filter.ts';
import { SO_MARK, SOL_SOCKET } from '../../net/socket-options.ts';

export const originalSrc: ListenerFilterExtension = {
  kind: 'listener',
  name: 'envoy.filters.listener.original_src',
  type: 'envoy.extensions.filters.listener.original_src.v3.OriginalSrc',
  compile: compileOriginalSrc,
};

/**
 * Upstream connections for a client come from the client's own address. The rules of the machine must bring the answers
 * back here: that is what `mark` is for. Needs CAP_NET_ADMIN.
 */
function compileOriginalSrc(value: object): ListenerFilter {
  if (process.getBuiltinModule('node:ffi') === undefined) {
    throw ConfigError.at('', 'needs node:ffi, which Node has since 26.9 (and not when it is switched off)');
  }
  const { bindPort = false, mark = 0 }: OriginalSrc = value;
  const options = mark === 0 ? [] : [{ level: SOL_SOCKET, name: SO_MARK, value: mark }];
  return {
    inspect: (accepted) => {
      const { ip, port, path } = accepted.remote;
      if (path !== '') return 'done';
      accepted.source = {
        ipv4: isIPv6(ip) ? '' : ip,
        ipv6: isIPv6(ip) ? ip : '',
        port: bindPort ? port : 0,
        freebind: false,
        transparent: true,
        options,
      };
      return 'done';
    },
  };
}
