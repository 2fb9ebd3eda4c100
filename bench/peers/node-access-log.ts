import { appendFile } from 'node:fs';

/** Lines gathered and written twice a second. */
export function createAccessLog(path: string): (line: string) => void {
  if (path === '') return () => {};
  let pending = '';
  setInterval(() => {
    if (pending === '') return;
    appendFile(path, pending, (error) => {
      if (error !== null) process.stderr.write(`${error.message}\n`);
    });
    pending = '';
  }, 500).unref();
  return (line) => {
    pending += line;
  };
}
