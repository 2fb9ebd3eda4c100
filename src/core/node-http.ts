/**
 * `node:http`, asked for by name: an import statement evaluates every export of a built-in module, here also those
 * that load undici (WebSocket and its like), which costs each thread 9 MB (measured) for nothing.
 */
export const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http');
