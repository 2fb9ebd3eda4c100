/**
 * The vote bot: lists the emoji and votes, ten times a second, and keeps one line up to date that says how it
 * goes. Argument: the port where web is reached.
 */
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const port = Number(process.argv[2]);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
/** Every fourth vote is for the doughnut: a success rate of 75 %. */
const doughnutEvery = 4;
const terminal = process.stdout.isTTY;
let votes = 0;
let succeeded = 0;
let slowestMs = 0;
let stopped = false;

process.on('SIGTERM', () => {
  stopped = true;
});
// Without a terminal, a line every two seconds instead of one that changes.
const ticker = setInterval(report, terminal ? 500 : 2000);

let choices: string[] = [];
while (!stopped) {
  await round();
  await sleep(100);
}
clearInterval(ticker);
report();
if (terminal) process.stdout.write('\n');
process.exit();

async function round(): Promise<void> {
  if (choices.length === 0 || votes % 20 === 0) {
    const list = await fetchJson('/api/list');
    if (list.status === 200) choices = (list.body as { shortcode: string }[]).map((one) => one.shortcode);
  }
  const others = choices.filter((shortcode) => shortcode !== ':doughnut:');
  const other = others[Math.floor(Math.random() * others.length)] ?? ':taco:';
  const choice = votes % doughnutEvery === doughnutEvery - 1 ? ':doughnut:' : other;
  const started = performance.now();
  const { status } = await fetchJson(`/api/vote?choice=${choice}`);
  slowestMs = Math.max(slowestMs, performance.now() - started);
  votes++;
  if (status === 200) succeeded++;
}

function report(): void {
  if (votes === 0) return;
  const rate = `${((100 * succeeded) / votes).toFixed(1)} %`;
  const line = `vote-bot: ${votes} votes, success rate ${rate}, slowest ${slowestMs.toFixed(0)} ms`;
  slowestMs = 0;
  process.stdout.write(terminal ? `\r\x1b[K${line}` : `${line}\n`);
}

/** Status 0 when nothing answered. */
function fetchJson(path: string): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve) => {
    const call = get(
      { host: '127.0.0.1', port, path, agent, headers: { 'user-agent': 'vote-bot' } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => {
          const ok = answer.statusCode === 200;
          resolve({ status: answer.statusCode ?? 0, body: ok ? JSON.parse(text) : undefined });
        });
        answer.on('error', () => resolve({ status: 0, body: undefined }));
      },
    );
    call.on('error', () => resolve({ status: 0, body: undefined }));
  });
}
