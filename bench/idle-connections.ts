import net from 'node:net';

const REQUEST = 'GET / HTTP/1.1\r\nhost: bench\r\n\r\n';
/** Opened at a time: below every peer's listen backlog, and few enough that few upstream connections open. */
const BATCH = 25;

export interface IdleConnections {
  readonly count: number;
  close(): void;
}

/**
 * Opens `count` connections from several 127.x addresses, makes one request on each and leaves them open.
 * Rejects when one fails, since the figure would be about fewer connections than it says.
 */
export async function openIdleConnections(port: number, count: number): Promise<IdleConnections> {
  const sockets: net.Socket[] = [];
  try {
    for (let done = 0; done < count; done += BATCH) {
      const size = Math.min(BATCH, count - done);
      sockets.push(...(await Promise.all(Array.from({ length: size }, (_, i) => openOne(port, done + i)))));
    }
  } catch (error) {
    for (const socket of sockets) socket.destroy();
    throw error;
  }
  return {
    count: sockets.length,
    close: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
  };
}

function openOne(port: number, index: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const localAddress = `127.0.0.${2 + (index % 8)}`;
    const socket = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true }, () => {
      socket.write(REQUEST);
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the proxy closed an idle connection')));
    // All answers are 100 bytes and come in one piece; the first data is taken for the whole.
    socket.once('data', () => {
      socket.resume();
      resolve(socket);
    });
  });
}
