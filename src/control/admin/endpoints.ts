import { clustersEndpoint } from './clusters.ts';
import { configDumpEndpoint } from './config-dump.ts';
import { type AdminReply, type Endpoint, HTML, textReply } from './endpoint.ts';
import { lifecycleEndpoints } from './lifecycle.ts';
import { listenersEndpoint } from './listeners.ts';
import { loggingEndpoint } from './logging.ts';
import { runtimeEndpoints } from './runtime.ts';
import { serverEndpoints } from './server-info.ts';
import { prometheusEndpoint, statsEndpoint } from './stats.ts';

const homeEndpoint: Endpoint = {
  path: '/',
  help: 'Admin home page',
  mutates: false,
  html: true,
  handle: () => ({ status: 200, contentType: HTML, body: homePage() }),
};

const helpEndpoint: Endpoint = {
  path: '/help',
  help: 'print out list of admin commands',
  mutates: false,
  handle: () => textReply(helpText()),
};

/** All endpoints, by path. */
export const ENDPOINTS: readonly Endpoint[] = [
  homeEndpoint,
  helpEndpoint,
  clustersEndpoint,
  configDumpEndpoint,
  listenersEndpoint,
  loggingEndpoint,
  statsEndpoint,
  prometheusEndpoint,
  ...lifecycleEndpoints,
  ...runtimeEndpoints,
  ...serverEndpoints,
].sort((a, b) => (a.path < b.path ? -1 : 1));

export function notFound(): AdminReply {
  return textReply(`invalid path. ${helpText()}`, 404);
}

function helpText(): string {
  let text = 'admin commands are:\n';
  for (const { path, help, mutates, parameters = {} } of ENDPOINTS) {
    text += `  ${path}${mutates ? ' (POST)' : ''}: ${help}\n`;
    for (const [name, meaning] of Object.entries(parameters)) text += `      ${name}: ${meaning}\n`;
  }
  return text;
}

/** Plain HTML without a script: links for what reads, buttons for what changes something. */
function homePage(): string {
  const rows = ENDPOINTS.filter(({ path }) => path !== '/').map(({ path, help, mutates }) => {
    const action = mutates
      ? `<form action="${path}" method="post"><button>${path}</button></form>`
      : `<a href="${path}">${path}</a>`;
    return `<tr><td>${action}</td><td>${help.replace(/&/g, '&amp;').replace(/</g, '&lt;')}</td></tr>\n`;
  });
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>inox admin</title>
<style>body { font-family: sans-serif } td { padding: 4px } form { margin: 0 }</style></head>
<body>
<table>
<thead><tr><th>Command</th><th>Description</th></tr></thead>
<tbody>
${rows.join('')}</tbody>
</table>
</body>
</html>
`;
}
