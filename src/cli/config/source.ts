import { readFileSync } from 'node:fs';

// Asked for by name: an import statement would load undici, too.
const { get } = process.getBuiltinModule('node:http');

/** The dump of a large mesh with its endpoints has some 40 MB. */
const MAX_BYTES = 500_000_000;
const LIMIT_MS = 60_000;

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonRecord;
export interface JsonRecord {
  readonly [field: string]: JsonValue | undefined;
}

/** A mistake of the caller, or something out of reach: the message says what to do. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

export interface Dump {
  /** The messages of `/config_dump`. */
  readonly sections: readonly JsonRecord[];
  /** Streams to control planes; empty for a file. */
  readonly streams: readonly JsonRecord[];
}

/** A file with a saved `/config_dump`, or the address of an admin interface. Rejects with a SourceError. */
export function readDump(from: { readonly file: string } | { readonly admin: string }): Promise<Dump> {
  return 'file' in from ? Promise.resolve(fromFile(from.file)) : fromAdmin(from.admin);
}

/** What one names in `inox config diff`: an address if it looks like one, else a file. */
export function sourceOf(text: string): { readonly file: string } | { readonly admin: string } {
  const address = /^(?:https?:\/\/)?((?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5})\/?$/.exec(text)?.[1];
  return address === undefined ? { file: text } : { admin: address };
}

function fromFile(file: string): Dump {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SourceError(
      `${file} cannot be read: ${why}\nName a file with a config dump, or ip:port of an admin interface.`,
    );
  }
  return { sections: sectionsOf(text, file), streams: [] };
}

async function fromAdmin(admin: string): Promise<Dump> {
  const text = await ask(admin, '/config_dump?include_eds');
  const streams = await ask(admin, '/config_dump?resource=xds_streams').then(
    (answer) => list(record(JSON.parse(answer)).xds_streams),
    // Envoy has no such thing.
    () => [],
  );
  return { sections: sectionsOf(text, `http://${admin}/config_dump`), streams };
}

function sectionsOf(text: string, where: string): readonly JsonRecord[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new SourceError(
      `${where} holds no JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const { configs } = record(json);
  if (Array.isArray(configs)) return list(configs);
  throw new SourceError(
    `${where} holds no config dump: there is no list 'configs'.\nSave one with: curl '127.0.0.1:15000/config_dump?include_eds'`,
  );
}

function ask(admin: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void =>
      reject(
        new SourceError(
          `http://${admin}${path}: ${why}\n--admin says where the admin interface is; --file reads a saved config dump.`,
        ),
      );
    const call = get(`http://${admin}${path}`, { agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_BYTES) call.destroy(new Error(`the answer is larger than ${MAX_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
        else fail(`status ${response.statusCode}: ${Buffer.concat(chunks).toString().slice(0, 200)}`);
      });
      response.on('error', (error) => fail(error.message));
    });
    const timer = setTimeout(
      () => call.destroy(new Error(`no answer within ${LIMIT_MS / 1000} s`)),
      LIMIT_MS,
    );
    call.on('error', (error: NodeJS.ErrnoException) =>
      fail(error.message || (error.code ?? 'nobody answers')),
    );
    call.on('close', () => clearTimeout(timer));
  });
}

export function record(value: unknown): JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRecord) : {};
}

export function list(value: unknown): readonly JsonRecord[] {
  return Array.isArray(value) ? value.map(record) : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : '';
}
