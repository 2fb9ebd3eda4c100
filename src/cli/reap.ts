// linux/wait.h and asm-generic/siginfo.h, the same on x64 and arm64.
const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
const SIZEOF_SIGINFO = 128;
const SI_PID = 16;

/**
 * As process 1 one inherits every orphan, and must wait for it when it ends, else it stays in the process table. libuv
 * waits only for children that it has started, and must be the one to do so, or their exit code is lost.
 *
 * @returns waits for whoever has ended and is not in `ours`; undefined without node:ffi.
 */
export function createReaper(ours: ReadonlySet<number>): (() => void) | undefined {
  const ffi = process.getBuiltinModule('node:ffi');
  if (ffi === undefined) return undefined;
  const { functions } = ffi.dlopen(null, {
    waitid: { arguments: ['i32', 'i32', 'pointer', 'i32'], return: 'i32' },
    waitpid: { arguments: ['i32', 'pointer', 'i32'], return: 'i32' },
  });
  const { waitid, waitpid } = functions;
  const info = Buffer.alloc(SIZEOF_SIGINFO);
  const status = new Int32Array(1);
  return () => {
    for (;;) {
      info.fill(0);
      // Looks, and leaves it where it is.
      if (waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) !== 0) return; // There are no children.
      const pid = info.readInt32LE(SI_PID);
      // One of ours is in front: the next call comes when libuv has taken it.
      if (pid === 0 || ours.has(pid)) return;
      waitpid(pid, status, WNOHANG);
    }
  };
}
