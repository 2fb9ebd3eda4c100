/**
 * The root filesystem of the container image, for the Dockerfile and for build-image.ts: what inox needs to run, what
 * `inox iptables` calls, and certificate authorities. No shell, no package manager.
 *
 *     node scripts/image-root.ts <folder>
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  globSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { makeDebianRoot, RUNTIME_PACKAGES } from './debian-root.ts';

const PACKAGES: readonly string[] = [
  ...RUNTIME_PACKAGES,
  'ca-certificates',
  ...['iptables', 'libip4tc2', 'libip6tc2', 'libmnl0', 'libnftnl11', 'libxtables12'],
  // `ip`, for the routes of TPROXY.
  ...['iproute2', 'libbpf1', 'libbsd0', 'libcap2', 'libelf1', 'libmd0', 'zlib1g'],
];

const KEPT: readonly RegExp[] = [
  /^(usr\/)?lib(64)?\/.*\.so(\.[\d.]+)?$/,
  /^usr\/sbin\/(ip6?tables-(nft|legacy)|xtables-(nft|legacy))/,
  /^bin\/ip$/,
  /^usr\/share\/doc\/[^/]+\/copyright$/,
  /^(etc|usr\/lib)\/os-release$/,
  /^etc\/debian_version$/,
  /^usr\/share\/ca-certificates\/mozilla\//,
];
/** Converters of character sets, profilers, helpers of iproute2 and BPF. */
const DROPPED = /\/(gconv|audit|tc)\/|\/lib(memusage|pcprofile)\.so/;

/** Makes `folder` anew. */
export function makeImageRoot(folder: string): void {
  const archives = makeDebianRoot(folder, PACKAGES);
  prune(folder, '');
  bundleAuthorities(folder);
  const text = (path: string, content: string): void => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  };
  // The uid that the rules leave alone, so that the proxy does not capture itself.
  text('etc/passwd', 'root:x:0:0:root:/root:/sbin/nologin\ninox:x:1337:1337:inox:/:/sbin/nologin\n');
  text('etc/group', 'root:x:0:\ninox:x:1337:\n');
  text('etc/nsswitch.conf', 'hosts: files dns\n');
  // iptables-legacy opens it for locking, which works on a read-only filesystem when it is there.
  text('run/xtables.lock', '');
  // Scanners for vulnerabilities look here for what is inside.
  for (const archive of archives) {
    const fields = execFileSync('dpkg-deb', ['-f', archive], { encoding: 'utf8' });
    text(`var/lib/dpkg/status.d/${basename(archive).split('_')[0]}`, fields);
  }
  for (const mountPoint of ['dev', 'proc', 'sys', 'tmp'])
    mkdirSync(join(folder, mountPoint), { recursive: true });
  chmodSync(join(folder, 'tmp'), 0o1777);
}

/** Removes what is not kept, and folders that are empty then. */
function prune(root: string, folder: string): void {
  for (const name of readdirSync(join(root, folder))) {
    const path = join(folder, name);
    if (lstatSync(join(root, path)).isDirectory()) prune(root, path);
    else if (DROPPED.test(path) || !KEPT.some((pattern) => pattern.test(path))) rmSync(join(root, path));
  }
  if (folder !== '' && readdirSync(join(root, folder)).length === 0) rmdirSync(join(root, folder));
}

/** What the package does when it is installed: all authorities in one file, where configurations look for it. */
function bundleAuthorities(root: string): void {
  const source = join(root, 'usr/share/ca-certificates');
  const certificates = globSync('mozilla/*.crt', { cwd: source }).toSorted();
  if (certificates.length === 0) throw new Error('ca-certificates has no certificates');
  const bundle = certificates.map((name) => readFileSync(join(source, name), 'utf8').trimEnd()).join('\n');
  mkdirSync(join(root, 'etc/ssl/certs'), { recursive: true });
  writeFileSync(join(root, 'etc/ssl/certs/ca-certificates.crt'), `${bundle}\n`);
  rmSync(source, { recursive: true });
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error('usage: node scripts/image-root.ts <folder>');
  makeImageRoot(folder);
}
