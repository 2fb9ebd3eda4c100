import { answerLoadConfig } from './load-config.ts';

// The program of the process that `loadInChild` starts.
process.on('SIGUSR1', () => {
  // As in main.ts: Node would open its debugger.
});
void answerLoadConfig();
