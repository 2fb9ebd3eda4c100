import { systemCommands } from '../iptables/commands.ts';
import { surroundings } from '../iptables/surroundings.ts';
import {
  certificateChecks,
  configChecks,
  configuredCertificates,
  controlPlaneChecks,
  portChecks,
} from './check/config.ts';
import { interceptionChecks, kernelChecks, runtimeChecks } from './check/machine.ts';
import { type Category, renderJson, renderText, verdict } from './check/model.ts';
import { proxyChecks } from './check/proxy.ts';
import type { ConfigFlags } from './validate.ts';

export interface CheckFlags extends ConfigFlags {
  readonly pre?: boolean;
  readonly proxy?: boolean;
  readonly admin: string;
  readonly output: string;
  readonly expiryDays: number;
}

/** Looks at the machine, the configuration and the running proxy; returns the exit code, 1 after an error. */
export async function check(flags: CheckFlags): Promise<number> {
  const categories: Category[] = [];
  const proxy = flags.pre === true ? undefined : await proxyChecks(flags.admin, flags.proxy === true);
  if (flags.proxy !== true) {
    const here = surroundings(process.env);
    categories.push(
      runtimeChecks(),
      kernelChecks(here),
      interceptionChecks(here, systemCommands(process.env)),
    );
    const { category, bootstrap } = configChecks(flags);
    categories.push(category);
    if (bootstrap !== undefined) {
      categories.push(
        await portChecks(bootstrap, flags, proxy?.running === true),
        await controlPlaneChecks(bootstrap),
      );
      // What runs knows more: secrets that came from files or a control plane.
      if (proxy?.running !== true)
        categories.push(certificateChecks(configuredCertificates(bootstrap), flags.expiryDays));
    }
  }
  if (proxy !== undefined) {
    categories.push(proxy.category);
    if (proxy.running) categories.push(certificateChecks(proxy.certificates, flags.expiryDays));
  }
  const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined;
  process.stdout.write(flags.output === 'json' ? renderJson(categories) : renderText(categories, colour));
  return verdict(categories) === 'error' ? 1 : 0;
}
