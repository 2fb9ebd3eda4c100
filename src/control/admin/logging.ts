import { LOG_LEVELS, type LogLevel, parseLogLevel } from '../../core/log.ts';
import type { AdminContext } from './context.ts';
import { type AdminReply, type AdminRequest, BadRequest, type Endpoint, textReply } from './endpoint.ts';

export const loggingEndpoint: Endpoint = {
  path: '/logging',
  help: 'query/change logging levels',
  mutates: true,
  parameters: {
    level: `set all loggers: one of ${LOG_LEVELS.join(', ')}`,
    paths: 'set several loggers: name1:level1,name2:level2',
    '<name>': 'set one logger, e.g. /logging?http=debug; today that sets all of them',
  },
  handle: changeLevels,
};

type Change = readonly [logger: string | undefined, level: LogLevel];

/** Either all changes are made or none. */
function changeLevels(request: AdminRequest, context: AdminContext): AdminReply {
  const parameters = [...request.query];
  if (parameters.length > 1) throw usage('invalid number of parameters', context);
  const [name, value] = parameters[0] ?? ['', ''];
  for (const [logger, level] of readChanges(name, value, context)) context.setLogLevel(logger, level);
  return textReply(activeLoggers(context));
}

function readChanges(name: string, value: string, context: AdminContext): readonly Change[] {
  const level = (text: string) => {
    const known = parseLogLevel(text);
    if (known === undefined) throw usage('unknown logger level', context);
    return known;
  };
  const logger = (text: string) => {
    if (!context.loggers().some(([known]) => known === text)) throw usage('unknown logger name', context);
    return text;
  };
  switch (name) {
    case '':
      return [];
    case 'level':
      return value === '' ? [] : [[undefined, level(value)]];
    case 'paths':
      return value.split(',').map((pair): Change => {
        const colon = pair.lastIndexOf(':');
        return [logger(pair.slice(0, colon)), level(pair.slice(colon + 1))];
      });
    default:
      return [[logger(name), level(value)]];
  }
}

function usage(problem: string, context: AdminContext): BadRequest {
  return new BadRequest(`error: ${problem}

usage: /logging?<name>=<level>  one logger
       /logging?paths=<name1>:<level1>,<name2>:<level2>  several loggers
       /logging?level=<level>  all loggers
levels: ${LOG_LEVELS.join(' ')}
${activeLoggers(context)}`);
}

function activeLoggers(context: AdminContext): string {
  const lines = context.loggers().map(([name, level]) => `  ${name}: ${level}\n`);
  return `active loggers:\n${lines.join('')}\n`;
}
