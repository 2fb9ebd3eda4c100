/** `inox config` as people call it: through pipes. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { configDump } from './dump.ts';

const MAIN = join(import.meta.dirname, '../../../src/cli/main.ts');
const folder = mkdtempSync(join(tmpdir(), 'inox-config-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function inox(args: readonly string[], input = ''): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, 'config', ...args]);
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    child.on('close', (code) => resolve({ code, out, err }));
    child.stdin.end(input);
  });
}

function saved(name: string, configs: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify({ configs }));
  return file;
}

const file = saved('dump.json', configDump());

t.test('of a saved dump: a table, JSON, YAML, everything', { jobs: 4 }, async (t) => {
  const [table, json, yaml, all, piped] = await Promise.all([
    inox(['clusters', '-f', file]),
    inox(['cluster', '-f', file, '-o', 'json', '--name', 'plain']),
    inox(['ep', '-f', file, '-o', 'yaml', '--status', 'HEALTHY']),
    inox(['-f', file]),
    inox(['c', '-f', '-', '--fqdn', 'nothing'], JSON.stringify({ configs: configDump() })),
  ]);
  t.match(table, { code: 0, err: '' });
  t.match(table.out, /^NAME {3,}TYPE {3,}LB POLICY {3,}STATE/);
  t.notMatch(table.out, '\u001b', 'plain in a pipe');
  t.match(JSON.parse(json.out), [
    { kind: 'clusters', name: 'plain', state: 'active', version: '7', config: { name: 'plain' } },
  ]);
  t.equal(JSON.parse(json.out).length, 1);
  t.match(parse(yaml.out), [{ kind: 'endpoints', name: 'outbound|80||reviews' }]);
  t.match(all.out, /^LISTENERS\nNAME/);
  t.match(all.out, /\n\nENDPOINTS\nENDPOINT/);
  t.notMatch(all.out, 'STREAMS', 'what there is none of has no table');
  t.same(piped, { code: 0, out: 'no clusters\n', err: '' });
});

t.test('of a running proxy, with its streams', async (t) => {
  const streams = [
    {
      server: "cluster 'xds'",
      connected: false,
      identifier: 'cp-1',
      lastEnd: 'the server ended it',
      types: [
        { type: 'envoy.config.cluster.v3.Cluster', names: ['*'], version: '7', error: 'no', updatedAt: 1 },
      ],
    },
  ];
  const server = createServer((request, response) => {
    const isStreams = request.url?.includes('xds_streams') === true;
    response.end(JSON.stringify(isStreams ? { xds_streams: streams } : { configs: configDump() }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const admin = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [shown, same] = await Promise.all([inox(['streams', '--admin', admin]), inox(['diff', file, admin])]);
  t.match(shown.out, /^SERVER {3,}CONNECTED {3,}CONTROL PLANE/);
  t.match(
    shown.out,
    /cluster 'xds' {3,}no {3,}cp-1 {3,}Cluster {3,}7 {3,}\d+d {3,}the server ended it {3,}no\n$/,
  );
  t.same(same, { code: 0, out: '', err: '' }, 'a file and an address are compared');
});

t.test('diff says what is different, and by its exit code', async (t) => {
  const other = saved('other.json', [
    { dynamic_active_clusters: [{ cluster: { name: 'plain', connect_timeout: '1s' } }] },
  ]);
  const one = saved('one.json', [{ dynamic_active_clusters: [{ cluster: { name: 'plain' } }] }]);
  const [text, json, missing] = await Promise.all([
    inox(['diff', one, other]),
    inox(['diff', one, other, '-o', 'json']),
    inox(['diff', one, join(folder, 'none')]),
  ]);
  t.same(text, { code: 1, out: '~ clusters plain\n    connect_timeout: + 1s\n', err: '' });
  t.match(JSON.parse(json.out), { same: false, changes: [{ change: 'changed', name: 'plain' }] });
  t.equal(json.code, 1);
  t.equal(missing.code, 2);
  t.match(missing.err, /cannot be read.*\nName a file with a config dump, or ip:port/);
});

t.test('mistakes say what to do next', async (t) => {
  const bad = join(folder, 'bad.json');
  writeFileSync(bad, '{}');
  const ran = await Promise.all([
    inox(['clsters', '-f', file]),
    inox(['-f', bad]),
    inox(['--admin', '127.0.0.1:1']),
    inox(['--port', '99999']),
    inox(['difff', file, file]),
  ]);
  t.same(
    ran.map(({ code }) => code),
    [1, 1, 1, 1, 1],
  );
  t.match(ran[0]?.err, "there is no 'clsters', did you mean 'clusters'?");
  t.match(ran[1]?.err, /holds no config dump.*\nSave one with: curl/);
  t.match(ran[2]?.err, /ECONNREFUSED.*\n--admin says where/);
  t.match(ran[3]?.err, 'must be a port');
  t.notMatch(ran.map(({ err }) => err).join(), /\n {4}at /, 'no stack');
});
