import { type HttpBootstrap, httpBootstrap } from './http-bootstrap.ts';
import { type LivePlane, startPlane } from './live-plane.ts';
import { dialWire, startWireBackend, type WireBackend, type WirePeer } from './wire-peer.ts';

/** A proxy, one backend and one client connection. */
export interface HttpSetting {
  readonly proxy: LivePlane;
  readonly backend: WireBackend;
  readonly client: WirePeer;
}

/** The part of a test that is needed to clean up after it. */
export interface TestOwner {
  teardown(end: () => unknown): void;
}

/** `serve` answers for the backend; without it the test answers by hand. */
export async function httpSetting(
  test: TestOwner,
  parts: Partial<HttpBootstrap> = {},
  serve?: (peer: WirePeer) => Promise<void>,
): Promise<HttpSetting> {
  const backend = await startWireBackend(serve);
  test.teardown(backend.close);
  const proxy = await startPlane(httpBootstrap({ backend: backend.port, ...parts }));
  test.teardown(proxy.close);
  const client = await dialWire(proxy.port);
  test.teardown(() => client.socket.destroy());
  return { proxy, backend, client };
}

/** A client that is closed at the end of the test. */
export async function clientOf(test: TestOwner, port: number): Promise<WirePeer> {
  const client = await dialWire(port);
  test.teardown(() => client.socket.destroy());
  return client;
}

export const settle = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `look` holds; for what has no event to wait for (counters). */
export async function eventually(
  what: string,
  look: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await settle(10);
  }
}
