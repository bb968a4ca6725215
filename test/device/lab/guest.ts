// The running system as its own tools show it: shell commands over the control channel, and otactl. Waits by progress.

import type { BootBody, HistoryBody, StatusBody, WhyBody } from '../../../agent/api/schema.ts';
import type { CommandResult, ControlChannel } from './control-channel.ts';

/** The guest answered, and the answer is wrong. */
export class WrongAnswer extends Error {}

export interface Guest {
  /** Any exit status. */
  run(command: string): Promise<CommandResult>;
  /** Output of a command that must succeed. */
  ok(command: string): Promise<string>;
  status(): Promise<StatusBody>;
  history(): Promise<HistoryBody['history']>;
  why(): Promise<WhyBody>;
  boot(): Promise<BootBody>;
  /** Writes a file; what is in it has no single quote. */
  write(path: string, text: string): Promise<void>;
  /** Settings of the site, as a technician leaves them in /etc. Counts from the next start of otad. */
  configure(settings: Readonly<Record<string, unknown>>): Promise<void>;
  restartAgent(): Promise<void>;
}

const settingsPath = '/etc/otad/config.d/60-site.json';
/** The daemon answers on it; /run is empty at each boot. */
const socketPath = '/run/otad/control.sock';

export const createGuest = (channel: () => ControlChannel): Guest => {
  const run = (command: string): Promise<CommandResult> => channel().run(command);
  const ok = async (command: string): Promise<string> => {
    const { status, output } = await run(command);
    if (status !== 0) throw new WrongAnswer(`exit status ${status} of: ${command}\n${output}`);
    return output;
  };
  const otactl = async <T>(words: string): Promise<T> => {
    const output = await ok(`until [ -S ${socketPath} ]; do sleep 0.3; done; otactl ${words} --json`);
    try {
      return JSON.parse(output) as T;
    } catch (cause) {
      throw new WrongAnswer(`otactl ${words} --json gave no JSON:\n${output}`, { cause });
    }
  };
  const write = async (path: string, text: string): Promise<void> => {
    const lines = text.trimEnd().split('\n');
    await ok(`mkdir -p $(dirname ${path}) && printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} > ${path}`);
  };
  return {
    ...{ run, ok, write },
    status: () => otactl('status'),
    history: async () => (await otactl<HistoryBody>('history')).history,
    why: () => otactl('why'),
    boot: () => otactl('boot status'),
    configure: (settings) => write(settingsPath, JSON.stringify(settings)),
    restartAgent: async () => {
      await ok('systemctl restart otad');
    },
  };
};
