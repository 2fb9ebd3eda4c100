import { join } from 'node:path';
import { type Running, start } from './process.ts';
import { untilHttp2Answers } from './ready.ts';

/** The server behind proxies that speak HTTP/2 to it: 100 bytes for every request, on the codec of inox. */
export async function startH2Backend(dir: string, port: number, core: number): Promise<Running> {
  const program = join(import.meta.dirname, '../test/system/programs/h2-server.ts');
  const log = join(dir, 'h2-backend.log');
  const running = start([process.execPath, program, String(port)], core, log);
  await untilHttp2Answers(port, running, log);
  return running;
}
