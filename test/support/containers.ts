import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Namespace } from './netns.ts';

/** What an image says about how it is run: Docker's format. */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly StopSignal: string;
  readonly Healthcheck: { readonly Test: readonly string[] };
}

export interface Image {
  readonly config: ImageConfig;
  /** Of its files. */
  readonly root: string;
}

/** Unpacks an archive of `docker save`, as a runtime does it: layer over layer, with owners and modes. */
export function unpackImage(archive: string, folder: string): Image {
  const packed = join(folder, 'packed');
  const root = join(folder, 'root');
  for (const made of [packed, root]) mkdirSync(made, { recursive: true });
  execFileSync('tar', ['-xf', archive, '-C', packed]);
  const read = (name: string): unknown => JSON.parse(readFileSync(join(packed, name), 'utf8'));
  const [manifest] = read('manifest.json') as { Config: string; Layers: string[] }[];
  if (manifest === undefined) throw new Error(`no image in ${archive}`);
  for (const layer of manifest.Layers)
    execFileSync('tar', ['-xpf', join(packed, layer), '-C', root, '--numeric-owner']);
  return { config: (read(manifest.Config) as { config: ImageConfig }).config, root };
}

export interface ContainerOptions {
  /** uid:gid, instead of the image's. */
  readonly user?: string;
  /** Like net_admin, for root; without any there are none. */
  readonly capabilities?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

// $1 is the image's PATH, $2 its root, $3 the user, $4 the capabilities, then the command. Only what a runtime does: namespaces,
// /proc and /dev, a read-only root, no new privileges, only the capabilities named (and those that this itself takes).
const RUN = `
path=$1 root=$2 user=$3 capabilities=$4; shift 4
mount --bind "$root" "$root" && mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" &&
mount -o remount,bind,ro "$root" || exit 125
setpriv=$(command -v setpriv) chroot=$(command -v chroot) PATH=$path
exec "$setpriv" --no-new-privs --inh-caps=-all --bounding-set="-all,+sys_chroot,+setuid,+setgid$capabilities" \\
  "$chroot" --userspec="$user" --groups= "$root" "$@"`;
const ENTER = 'nsenter=$(command -v nsenter) PATH=$1; shift; exec "$nsenter" "$@"';

/** A process in namespaces of its own for mounts and processes, where it is process 1, and in the network of a pod. */
export class Container {
  readonly #child: ChildProcess;
  readonly #image: Image;
  readonly #user: string;
  /** Of process 1 inside, as it is called outside. */
  readonly pid: number;
  readonly exit: Promise<readonly [code: number | null, signal: string | null]>;
  said = '';

  private constructor(child: ChildProcess, pid: number, image: Image, user: string) {
    this.#child = child;
    this.#image = image;
    this.#user = user;
    this.pid = pid;
    this.exit = once(child, 'close').then(([code, signal]) => [code, signal]);
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.said += chunk;
      });
  }

  /** Resolves when the program of the image has taken the place of what set up its container, or has ended. */
  static async start(
    pod: Namespace,
    image: Image,
    command: readonly string[],
    { user = image.config.User, capabilities = [], env = {} }: ContainerOptions = {},
  ): Promise<Container> {
    const namespaces = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
    const added = capabilities.map((name) => `,+${name}`).join('');
    const child = spawn(
      'ip',
      [
        ...['netns', 'exec', pod.name, ...namespaces, 'sh', '-c', RUN, 'sh'],
        ...[pathOf(image), image.root, user, added, ...command],
      ],
      // What sets it up is found by the PATH of this machine.
      { env: { ...environment(image), ...env, PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const ended = once(child, 'exit');
    ended.catch(() => {
      // Looked at below.
    });
    for (;;) {
      const pid = firstChild(child.pid ?? 0);
      if ((pid !== 0 && rootOf(pid) === image.root) || child.exitCode !== null)
        return new Container(child, pid, image, user);
      await Promise.race([ended, sleep(5)]);
    }
  }

  kill(signal: NodeJS.Signals): void {
    try {
      process.kill(this.pid, signal);
    } catch {
      // It has just ended.
    }
  }

  /** Runs another program in it, as its user; returns its exit code. */
  async execute(command: readonly string[]): Promise<number | null> {
    const [uid = '0', gid = '0'] = this.#user.split(':');
    const inside = ['-t', String(this.pid), '-m', '-p', '-n', '-r', '-S', uid, '-G', gid];
    const child = spawn('sh', ['-c', ENTER, 'sh', pathOf(this.#image), ...inside, '--', ...command], {
      env: { ...environment(this.#image), PATH: process.env.PATH },
      stdio: 'ignore',
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  }

  /** Ends it in any case. */
  async remove(): Promise<void> {
    // Process 1 itself: to change the user is to lose the signal at the death of the parent.
    if (this.#child.exitCode === null) this.kill('SIGKILL');
    await this.exit;
  }
}

function environment(image: Image): Record<string, string> {
  return Object.fromEntries(image.config.Env.map((one) => one.split(/=(.*)/s) as [string, string]));
}

function pathOf(image: Image): string {
  return environment(image).PATH ?? '/usr/local/bin:/usr/bin:/bin';
}

function firstChild(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]);
  } catch {
    return 0; // It has ended.
  }
}

function rootOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/root`);
  } catch {
    return ''; // It has ended.
  }
}
