/**
 * Builds the container image without an engine, without root filesystems of others and without a registry of images: the
 * Dockerfile's build stage is replaced by a folder that is made here from Debian's packages, and buildah
 * (apt-get install buildah) does the rest.
 *
 *     node scripts/build-image.ts [--tag inox:0.1.0] [--output dist/inox-image.tar] [--executable dist/inox]
 *
 * The archive is for `docker load`, `podman load`, `kind load image-archive`, `ctr image import`.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { makeImageRoot } from './image-root.ts';

const repository = join(import.meta.dirname, '..');

export interface ImageOptions {
  readonly tag: string;
  /** An executable that is there already; without, it is built. */
  readonly executable?: string | undefined;
  /** The archive to write. */
  readonly output: string;
}

export interface BuiltImage {
  /** Of its configuration: the same inputs give the same. */
  readonly id: string;
  /** Bytes that a registry sends. */
  readonly compressed: number;
  /** Bytes of the files. */
  readonly unpacked: number;
}

/** Throws what buildah says when it fails. */
export function buildImage(options: ImageOptions): BuiltImage {
  const folder = mkdtempSync(join(tmpdir(), 'inox-image-'));
  // A store of its own: what this machine has of images is neither seen nor changed.
  const store = [
    '--root',
    join(folder, 'store'),
    '--runroot',
    join(folder, 'run'),
    '--storage-driver',
    'vfs',
  ];
  const buildah = (command: string, ...args: string[]): string =>
    execFileSync('buildah', [...store, command, ...args], {
      encoding: 'utf8',
      env: { ...process.env, BUILDAH_ISOLATION: 'chroot' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  try {
    const stage = join(folder, 'build');
    makeStage(stage, options.executable);
    buildah(
      'build',
      // OCI's configurations have no healthcheck.
      ...['--format', 'docker', '--pull-never', '--timestamp', '0', '--tag', options.tag],
      ...['--build-context', `build=${stage}`, '--file', join(repository, 'Dockerfile'), stage],
    );
    rmSync(options.output, { force: true });
    mkdirSync(dirname(options.output), { recursive: true });
    buildah('push', options.tag, `docker-archive:${options.output}:${options.tag}`);
    const pushed = join(folder, 'pushed');
    buildah('push', options.tag, `dir:${pushed}`);
    const manifest = JSON.parse(readFileSync(join(pushed, 'manifest.json'), 'utf8')) as {
      readonly config: { readonly digest: string };
      readonly layers: readonly { readonly size: number }[];
    };
    return {
      id: manifest.config.digest,
      compressed: manifest.layers.reduce((sum, { size }) => sum + size, 0),
      unpacked: bytesIn(join(stage, 'image')) + statSync(join(stage, 'src/dist/inox')).size,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the Dockerfile copies from its build stage, where it is there. */
function makeStage(folder: string, executable: string | undefined): void {
  if (executable === undefined) {
    for (const script of ['build-protos.ts', 'build-sea.ts'])
      execFileSync(process.execPath, [join(import.meta.dirname, script)], {
        cwd: repository,
        stdio: 'ignore',
      });
  }
  mkdirSync(join(folder, 'src/dist'), { recursive: true });
  copyFileSync(executable ?? join(repository, 'dist/inox'), join(folder, 'src/dist/inox'));
  copyFileSync(join(repository, 'LICENSE'), join(folder, 'src/LICENSE'));
  makeImageRoot(join(folder, 'image'));
}

function bytesIn(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder)) {
    const found = lstatSync(join(folder, name));
    bytes += found.isDirectory() ? bytesIn(join(folder, name)) : found.size;
  }
  return bytes;
}

if (import.meta.main) {
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
    version: string;
  };
  const { values } = parseArgs({
    options: {
      tag: { type: 'string', default: `inox:${version}` },
      output: { type: 'string', default: join(repository, 'dist/inox-image.tar') },
      executable: { type: 'string' },
    },
  });
  const output = resolve(values.output);
  const { id, compressed, unpacked } = buildImage({ ...values, output });
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  process.stdout.write(
    `${values.tag} ${id}\n${megabytes(compressed)} compressed, ${megabytes(unpacked)} unpacked: ${output}\n`,
  );
}
