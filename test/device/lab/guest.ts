// The running system as its own tools show it: shell commands over the control channel, and otactl. Waits by progress.

import type { BootBody, HistoryBody, StatusBody, WhyBody } from '../../../agent/api/schema.ts';
import type { CommandResult, ControlChannel } from './control-channel.ts';
import { limits } from './limits.ts';
import { NoAnswer, WrongAnswer } from './verdict.ts';

export interface Guest {
  /** Any exit status. */
  run(command: string): Promise<CommandResult>;
  /** Output of a command that must succeed. */
  ok(command: string): Promise<string>;
  status(): Promise<StatusBody>;
  history(): Promise<HistoryBody['history']>;
  why(): Promise<WhyBody>;
  boot(): Promise<BootBody>;
  /** The boot helper ends when it is idle, and a cold start takes longer here than otactl waits. */
  wakeHelper(): Promise<void>;
  /** Writes a file, to the disk; what is in it has no single quote. */
  write(path: string, text: string): Promise<void>;
  /** Settings of the site, as a technician leaves them in /etc. Counts from the next start of otad. */
  configure(settings: Readonly<Record<string, unknown>>): Promise<void>;
  restartAgent(): Promise<void>;
}

const settingsPath = '/etc/otad/config.d/60-site.json';
/** The daemon answers on it; /run is empty at each boot. */
const socketPath = '/run/otad/control.sock';

/** Asks something and waits for whatever the answer is. */
const wakeCommand =
  `node -e 'require("node:net").connect("/run/otad-boot/socket", function () { this.write("{}\\n") })` +
  `.on("data", () => process.exit())'`;

export const createGuest = (channel: () => ControlChannel): Guest => {
  const run = (command: string): Promise<CommandResult> => channel().run(command);
  const ok = async (command: string): Promise<string> => {
    const { status, output } = await run(command);
    if (status !== 0) throw new WrongAnswer(`exit status ${status} of: ${command}\n${output}`);
    return output;
  };
  /** In small steps, each of which is a sign of life: how long a start takes is nobody's business here. */
  const untilAgentAnswers = async (): Promise<void> => {
    const look = `for try in 1 2 3 4 5 6 7 8 9 10; do [ -S ${socketPath} ] && exit 0; sleep 1; done; exit 1`;
    const sinceMs = performance.now();
    while ((await run(look)).status !== 0) {
      if (performance.now() - sinceMs > limits.comeBackMs) throw new NoAnswer('the agent does not answer');
    }
  };
  const otactl = async <T>(words: string): Promise<T> => {
    await untilAgentAnswers();
    const output = await ok(`otactl ${words} --json --timeout ${limits.answerMs / 1000}`);
    try {
      return JSON.parse(output) as T;
    } catch (cause) {
      throw new WrongAnswer(`otactl ${words} --json gave no JSON:\n${output}`, { cause });
    }
  };
  const wakeHelper = async (): Promise<void> => {
    await ok(wakeCommand);
  };
  const write = async (path: string, text: string): Promise<void> => {
    const lines = text.trimEnd().split('\n');
    const words = lines.map((line) => `'${line}'`).join(' ');
    await ok(`mkdir -p $(dirname ${path}) && printf '%s\\n' ${words} > ${path} && sync`);
  };
  return {
    ...{ run, ok, write },
    status: () => otactl('status'),
    history: async () => (await otactl<HistoryBody>('history')).history,
    why: () => otactl('why'),
    boot: async () => {
      await wakeHelper();
      return await otactl('boot status');
    },
    wakeHelper,
    configure: (settings) => write(settingsPath, JSON.stringify(settings)),
    restartAgent: async () => {
      // The old socket goes first, so that nobody takes the old agent for the new one.
      await ok(`systemctl stop otad && rm -f ${socketPath} && systemctl --no-block start otad`);
      await untilAgentAnswers();
    },
  };
};
