import type { AdminContext } from './context.ts';
import {
  type AdminReply,
  type AdminRequest,
  BadRequest,
  type Endpoint,
  jsonReply,
  textReply,
} from './endpoint.ts';

export const runtimeEndpoints: readonly Endpoint[] = [
  { path: '/runtime', help: 'print runtime values', mutates: false, handle: showRuntime },
  {
    path: '/runtime_modify',
    help: 'set runtime values in the admin layer: ?key=value&…; an empty value removes a key',
    mutates: true,
    handle: modifyRuntime,
  },
];

function showRuntime(_: AdminRequest, context: AdminContext): AdminReply {
  const { layers, entries } = context.runtime();
  const shown = Object.entries(entries).map(([key, { layerValues, finalValue }]) => {
    return [key, { layer_values: layerValues, final_value: finalValue }] as const;
  });
  return jsonReply({ layers, entries: Object.fromEntries(shown) });
}

function modifyRuntime(request: AdminRequest, context: AdminContext): AdminReply {
  const values = Object.fromEntries(request.query);
  if (Object.keys(values).length === 0) {
    throw new BadRequest('usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n');
  }
  if (context.modifyRuntime === undefined) throw new BadRequest('No admin layer specified', 503);
  context.modifyRuntime(values);
  return textReply('OK\n');
}
