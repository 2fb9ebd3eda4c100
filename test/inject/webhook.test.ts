import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { defaultSettings } from '../../src/inject/settings.ts';
import { startWebhook } from '../../src/inject/webhook.ts';
import { type Certificate, issue, makeCa } from '../support/certs.ts';
import { kubernetesProblems } from '../support/kubernetes.ts';

const ca = makeCa('webhook test');
const other = makeCa('another');

async function start(t: Test) {
  const folder = t.testdir({});
  const files = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
  const install = ({ cert, key }: Certificate) => {
    writeFileSync(files.keyFile, key);
    writeFileSync(files.certFile, cert);
  };
  install(issue(ca, { dns: ['localhost'] }));
  const logged: string[] = [];
  const webhook = await startWebhook({
    ...files,
    host: '127.0.0.1',
    port: 0,
    reloadIntervalMs: 20,
    defaults: defaultSettings('inox:test'),
    version: '0',
    ignoredNamespaces: ['kube-system'],
    log: (level, message) => logged.push(`${level} ${message}`),
  });
  t.teardown(() => webhook.close());
  const call = (
    path: string,
    method = 'GET',
    body?: string | Buffer,
    type = 'application/json',
    trust = ca,
  ) =>
    new Promise<{ status: number; body: string; serial: string }>((resolve, reject) => {
      const out = request(
        {
          host: '127.0.0.1',
          servername: 'localhost',
          port: webhook.address.port,
          path,
          method,
          ca: trust.cert,
          agent: false,
          headers: { 'content-type': type },
        },
        (response) => {
          const serial = (response.socket as TLSSocket).getPeerCertificate().serialNumber;
          let text = '';
          response.setEncoding('utf8').on('data', (chunk) => {
            text += chunk;
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, serial }));
        },
      );
      out.on('error', reject);
      out.end(body);
    });
  return { call, install, logged };
}

/** RFC 6902's add, remove and replace, as the API server applies them. */
function patched(object: unknown, patch: { op: string; path: string; value?: unknown }[]): unknown {
  const root = structuredClone(object) as Record<string, unknown>;
  for (const { op, path, value } of patch) {
    const steps = path
      .slice(1)
      .split('/')
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = steps.pop() ?? '';
    let parent: Record<string, unknown> | unknown[] = root;
    for (const step of steps) {
      const next: unknown = (parent as Record<string, unknown>)[step];
      if (typeof next !== 'object' || next === null) throw new Error(`${path}: nothing at ${step}`);
      parent = next as Record<string, unknown>;
    }
    if (op === 'add' && Array.isArray(parent))
      parent.splice(last === '-' ? parent.length : Number(last), 0, value);
    else if (op === 'remove' && !Array.isArray(parent)) delete parent[last];
    else (parent as Record<string, unknown>)[last] = value;
  }
  return root;
}

const pod = (metadata: object, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    generateName: 'web-7d4b9c-',
    labels: { app: 'web', 'pod-template-hash': '7d4b9c' },
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-7d4b9c', uid: 'x', controller: true },
    ],
    ...metadata,
  },
  spec: {
    containers: [{ name: 'web', image: 'w', readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 3 } }],
    initContainers: [{ name: 'first', image: 'f' }],
    ...spec,
  },
});

const review = (object: object, namespace = 'shop') =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u-1',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      namespace,
      operation: 'CREATE',
      object,
    },
  });

interface Answer {
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly patchType?: string;
    readonly warnings?: string[];
    readonly status?: { message: string };
  };
}

t.test('a pod is injected by a JSON patch', async (t) => {
  const { call, logged } = await start(t);
  for (const object of [
    pod({}),
    pod({ annotations: { 'a/b~c': 'd' } }, { initContainers: undefined, volumes: null }),
  ]) {
    const { status, body } = await call('/inject?timeout=10s', 'POST', review(object));
    t.equal(status, 200);
    const { response } = JSON.parse(body) as Answer;
    t.match(response, { uid: 'u-1', allowed: true, patchType: 'JSONPatch' });
    const patch = JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString());
    const after = patched(object, patch) as ReturnType<typeof pod>;
    t.same(await kubernetesProblems(JSON.stringify(after)), []);
    t.match(after.spec.containers[0]?.readinessProbe, {
      httpGet: { path: '/app-health/web/readyz', port: 15021 },
      tcpSocket: undefined,
      periodSeconds: 3,
    });
    t.match(
      JSON.stringify(after.spec.initContainers),
      /"inox-init".*"inox-proxy".*"web\.\$\(POD_NAMESPACE\)"/,
    );
    const again = JSON.parse((await call('/inject', 'POST', review(after))).body) as Answer;
    t.match(again.response, { allowed: true, patch: undefined });
  }
  t.match(logged, ['info shop/web injected', 'info shop/web skipped: injected already']);
});

t.test('pods that are not to be injected are let in as they are', async (t) => {
  const { call } = await start(t);
  const cases: [object, string, RegExp | undefined][] = [
    [pod({ labels: { 'inox.dev/inject': 'disabled' } }), 'shop', undefined],
    [pod({ annotations: { 'inox.dev/inject': 'false' } }), 'shop', undefined],
    [pod({}), 'kube-system', undefined],
    [pod({}, { hostNetwork: true }), 'shop', /hostNetwork/],
  ];
  for (const [object, namespace, warning] of cases) {
    const { response } = JSON.parse(
      (await call('/inject', 'POST', review(object, namespace))).body,
    ) as Answer;
    t.match(response, { allowed: true, patch: undefined });
    t.match(response.warnings?.join() ?? '', warning ?? /^$/);
  }
});

t.test('a pod with a misspelt annotation is refused, and told what was meant', async (t) => {
  const { call } = await start(t);
  const object = pod({ annotations: { 'inox.dev/exclude-inbound-port': '80' } });
  const { response } = JSON.parse((await call('/inject', 'POST', review(object))).body) as Answer;
  t.match(response, { uid: 'u-1', allowed: false });
  t.match(response.status?.message, /did you mean "inox.dev\/exclude-inbound-ports"/);
});

t.test('what is no review is refused, and the server goes on', async (t) => {
  const { call } = await start(t);
  const status = async (...args: Parameters<typeof call>) => (await call(...args)).status;
  t.equal(await status('/healthz'), 200);
  t.equal(await status('/readyz'), 200);
  t.equal(await status('/healthz', 'POST', ''), 405);
  t.equal(await status('/other'), 404);
  t.equal(await status('/inject'), 405);
  t.equal(await status('/inject', 'POST', '{}', 'text/plain'), 415);
  for (const body of [
    '',
    '{',
    'null',
    '[]',
    '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}',
    '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":7}}',
  ]) {
    t.equal(await status('/inject', 'POST', body), 400, body);
  }
  t.equal(await status('/inject', 'POST', review(pod({}))), 200);
});

t.test('a body over the limit is refused', async (t) => {
  const { call } = await start(t);
  const answer = await call('/inject', 'POST', Buffer.alloc(4 * 1024 * 1024, 'x')).catch(
    (error: NodeJS.ErrnoException) => {
      // The server stops reading: the client may see that before the answer.
      t.match(error.code, /EPIPE|ECONNRESET/);
      return { status: 413 };
    },
  );
  t.equal(answer.status, 413);
  t.equal((await call('/healthz')).status, 200);
});

t.test('a new certificate is used without a restart, one that does not fit its key is not', async (t) => {
  const { call, install, logged } = await start(t);
  const serial = async (trust = ca) => (await call('/healthz', 'GET', undefined, '', trust)).serial;
  const first = await serial();
  await t.rejects(serial(other), /certificate/);
  const waitFor = async (done: () => Promise<boolean>) => {
    const end = Date.now() + 20_000;
    while (Date.now() < end) {
      if (await done()) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return false;
  };
  install({ ...issue(ca, { dns: ['localhost'] }), key: issue(ca).key });
  t.ok(await waitFor(async () => logged.some((line) => line.includes('the old certificate stays in use'))));
  t.equal(await serial(), first);
  install(issue(other, { dns: ['localhost'] }));
  t.ok(
    await waitFor(async () =>
      serial(other).then(
        () => true,
        () => false,
      ),
    ),
  );
  await t.rejects(serial(ca), /certificate/);
});

t.test('it does not start with a key of another certificate', async (t) => {
  const folder = t.testdir({ 'tls.crt': issue(ca).cert, 'tls.key': issue(ca).key });
  const starting = startWebhook({
    certFile: join(folder, 'tls.crt'),
    keyFile: join(folder, 'tls.key'),
    host: '127.0.0.1',
    port: 0,
    defaults: defaultSettings('inox:test'),
    version: '0',
    ignoredNamespaces: [],
    log: () => undefined,
  });
  await t.rejects(starting, /is not that of the certificate/);
});
