import type { ListenerContext, ListenerFilterExtension } from '../../config/context.ts';
import type { ListenerFilter } from '../../net/listener-filter.ts';

export const httpInspector: ListenerFilterExtension = {
  kind: 'listener',
  name: 'envoy.filters.listener.http_inspector',
  type: 'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector',
  compile: compileHttpInspector,
};

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** A request line that is longer than this closes the connection. */
const MAX_LINE = 64 * 1024;
const LF = 0x0a;

/** What every method in use looks like; lower case is somebody else's protocol, which need not wait for its first line. */
const USUAL_METHOD = /^[A-Z][-A-Z_]{0,31}$/;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LINE = /^(\S+) +(\S+) +(HTTP\/\d\.\d)$/;

/** Finds out whether the client speaks HTTP in clear text, and which version. */
function compileHttpInspector(_config: object, ctx: ListenerContext): ListenerFilter {
  const scope = ctx.stats.scope('http_inspector');
  const http10 = scope.counter('http10_found');
  const http11 = scope.counter('http11_found');
  const http2 = scope.counter('http2_found');
  const notFound = scope.counter('http_not_found');
  const readError = scope.counter('read_error');
  const method = ctx.envoyStrict ? METHOD : USUAL_METHOD;
  return {
    inspect: (accepted, bytes) => {
      if (accepted.transportProtocol !== '' && accepted.transportProtocol !== 'raw_buffer') return 'done';
      const protocol = protocolOf(bytes, method);
      if (protocol === 'more') {
        if (bytes.length < MAX_LINE) return 'more';
        readError.inc();
        return 'close';
      }
      if (protocol === 'none') {
        notFound.inc();
        return 'done';
      }
      (protocol === 'h2c' ? http2 : protocol === 'http/1.1' ? http11 : http10).inc();
      accepted.applicationProtocols = [protocol];
      return 'done';
    },
  };
}

function protocolOf(bytes: Buffer, usual: RegExp): 'http/1.0' | 'http/1.1' | 'h2c' | 'none' | 'more' {
  if (bytes.length === 0) return 'more';
  const length = Math.min(PREFACE.length, bytes.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) === 0) return length < PREFACE.length ? 'more' : 'h2c';
  const end = bytes.indexOf(LF);
  if (end < 0) {
    const method = bytes.latin1Slice(0, Math.min(bytes.length, 64)).split(' ', 1)[0] ?? '';
    return usual.test(method) ? 'more' : 'none';
  }
  const match = LINE.exec(bytes.latin1Slice(0, end).trimEnd());
  if (match === null || !METHOD.test(match[1] ?? '')) return 'none';
  // Whatever is not 1.1 counts as 1.0, as Envoy has it.
  return match[3] === 'HTTP/1.1' ? 'http/1.1' : 'http/1.0';
}
