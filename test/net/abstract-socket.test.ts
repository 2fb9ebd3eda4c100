import { existsSync } from 'node:fs';
import t from 'tap';
import type { Connection, ConnectionEvents } from '../../src/net/connection.ts';
import { listen } from '../../src/net/listener.ts';
import { ReadArena } from '../../src/net/read-arena.ts';
import { createTcpDial } from '../../src/net/tcp-dial.ts';
import { createAcceptPlan } from '../support/accept-plan.ts';

const IGNORE: ConnectionEvents = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

t.test(
  'a path that starts with @ is a name of the abstract namespace, and is shown as it was written',
  async (t) => {
    const address = { ip: '', port: 0, path: `@inox-test-${process.pid}` };
    const arena = new ReadArena();
    const nextId = (): number => 1;
    const listener = await listen({
      address,
      reusePort: false,
      backlog: 1,
      bufferLimitBytes: 0,
      nextId,
      arena,
    });
    t.teardown(() => listener.close());
    const heard = new Promise<string>((resolve) => {
      listener.plan.value = createAcceptPlan((connection) => {
        connection.events = { ...IGNORE, onData: (chunk) => resolve(chunk.toString()) };
        t.teardown(() => connection.destroy());
      });
    });
    const connection = await new Promise<Connection>((resolve, reject) => {
      createTcpDial(nextId, arena)(
        address,
        { connectTimeoutMs: 1000 },
        {
          onConnected: (dialled) => {
            dialled.events = IGNORE;
            resolve(dialled);
          },
          onFailed: (reason) => reject(new Error(reason.details)),
        },
      );
    });
    t.teardown(() => connection.destroy());
    connection.write('hello');
    t.equal(await heard, 'hello');
    t.equal(connection.remote.path, address.path);
    t.notOk(existsSync(address.path), 'no file');
  },
);
