// The commands of otactl as data: what each does, its arguments, its options, an example. Help, completion, argument
// checks and docs/reference/exit-codes.md are all made from this table.

import type { OptionName } from './options.ts';

interface CommandDoc {
  readonly arguments: string;
  /** Most words after the command; a reason may be written without quotes. */
  readonly argumentsMax: number;
  readonly argumentsMin: number;
  readonly options: readonly OptionName[];
  readonly summary: string;
  readonly text: readonly string[];
  readonly example: string;
  /** Exit codes beside 0, 1 and 64. */
  readonly exits: readonly string[];
}

const none = { arguments: '', argumentsMax: 0, argumentsMin: 0, options: [] as readonly OptionName[], exits: [] };
const reasonWordsMax = 50;

const lookCommands = {
  status: {
    ...none,
    summary: 'What runs, what is in the slots, what comes next.',
    text: ['Start here. The line with > is the running slot; `to do` is what a person should do now.'],
    example: 'otactl status',
  },
  why: {
    ...none,
    summary: 'Why it is not updating, and why it rolled back.',
    text: ['Lists every condition that is not met, the most pressing first, each once.'],
    example: 'otactl why',
  },
  history: {
    ...none,
    options: ['limit'],
    summary: 'What happened here, newest first.',
    text: [
      'Times are local; ~ behind a time: the clock was not synchronised then.',
      'A reason that stands in the row above is not repeated.',
    ],
    example: 'otactl history --limit 50',
  },
  slots: {
    ...none,
    summary: 'Both slots with devices and dm-verity roots.',
    text: ['With these a slot can be checked by hand: veritysetup verify --hash-offset=OFFSET PATH PATH ROOT'],
    example: 'otactl slots',
  },
  boot: {
    ...none,
    arguments: '[status]',
    argumentsMax: 1,
    options: ['verbose'],
    summary: 'Boot control: what boots next, and who says so.',
    text: [
      'Reads the device anew: witnesses of this boot, slots, tries, verity roots, devices, what is wrong.',
      'With --json everything, raw records included.',
    ],
    example: 'otactl boot status',
  },
  watch: {
    ...none,
    summary: 'Follow what happens until Ctrl-C.',
    text: ['With --timeout: for so long. Survives a restart of otad. With --json: one status a line.'],
    example: 'otactl watch',
  },
  config: {
    ...none,
    summary: 'Every setting, its value and the file that set it.',
    text: [
      'A file that is wrong is left out as a whole and named first.',
      'Settings are drop-in files in /etc/otad/config.d; restart otad after a change.',
    ],
    example: 'otactl config',
  },
} as const satisfies Record<string, CommandDoc>;

const updateCommands = {
  check: {
    ...none,
    options: ['no-wait'],
    summary: 'Ask the server for news, wait for the answer.',
    text: ['What is new is installed by itself if the settings say so; otherwise: otactl install'],
    example: 'otactl check',
    exits: [
      '0: something new was found',
      '2: nothing new',
      '3: there is a release, but policy stands against it',
      '4: a release is staged, reboot to use it',
      '5: what the server offers did not pass verification',
      '6: otad is busy',
    ],
  },
  install: {
    ...none,
    arguments: '[FOLDER]',
    argumentsMax: 1,
    options: ['yes', 'no-wait'],
    summary: 'Install now, window or not: from server or FOLDER.',
    text: [
      'FOLDER: a copy of the published repository, on a stick or a share. Same checks as from the server; otactl hands the files over, so FOLDER and otactl must stay until they are written. Stopped, the install goes on when it is called again.',
      'Writes and verifies the other slot while this system goes on running. From the server, Ctrl-C stops the watching, not the install.',
      'Then: otactl reboot',
    ],
    example: 'otactl install /media/stick/repository',
    exits: [
      '2: nothing new',
      '3: refused by policy',
      '4: already staged, reboot to use it',
      '5: verification failed',
      '6: busy',
    ],
  },
  reboot: {
    ...none,
    options: ['yes'],
    summary: 'Reboot now into the system that is staged.',
    text: ['The new system is on trial: unless its health checks pass, the gateway comes back to this one by itself.'],
    example: 'otactl reboot --yes',
    exits: ['2: nothing is staged', '6: busy'],
  },
  confirm: {
    ...none,
    summary: 'Keep the running system, health checks or not.',
    text: ['Only when you have looked at it yourself: after this it does not go back by itself.'],
    example: 'otactl confirm',
    exits: ['2: already confirmed', '6: busy'],
  },
  rollback: {
    arguments: '[REASON]',
    argumentsMin: 0,
    argumentsMax: reasonWordsMax,
    options: ['yes', 'dry-run', 'no-wait', 'reason'],
    summary: 'Verify the other slot and reboot into it.',
    text: [
      'Shows from what to what before it asks. The other slot is read back whole first; if a byte is wrong, nothing is changed.',
      'The version that is left is denied with the reason. A trial that fails by itself goes back at once, without this.',
    ],
    example: 'otactl rollback modem drivers are broken',
    exits: [
      '3: there is no verified system to return to',
      '5: the other slot did not verify, nothing was changed',
      '6: busy',
    ],
  },
} as const satisfies Record<string, CommandDoc>;

const policyCommands = {
  'mark-bad': {
    arguments: '[SLOT]',
    argumentsMin: 0,
    argumentsMax: 1,
    options: ['yes', 'dry-run', 'no-wait', 'reason'],
    summary: 'Say that a slot is not to be booted.',
    text: [
      'SLOT is a or b; without it the one that does not run. Its release is denied with the reason.',
      'The running slot can be marked when the other one is good; it runs on until the next reboot, which is yours to ask for.',
    ],
    example: 'otactl mark-bad b --reason worn-out',
    exits: ['2: it is bad already', '3: refused: nothing good would be left to boot', '6: busy'],
  },
  hold: {
    arguments: '[REASON]',
    argumentsMin: 0,
    argumentsMax: reasonWordsMax,
    options: [],
    summary: 'Stop updates here until they are released.',
    text: ['What is being tried is still judged: a sick system goes back even while updates are held.'],
    example: 'otactl hold measuring until Friday',
    exits: [],
  },
  release: {
    ...none,
    summary: 'End a hold.',
    text: [],
    example: 'otactl release',
    exits: ['2: nothing is held'],
  },
  undeny: {
    arguments: 'VERSION',
    argumentsMin: 1,
    argumentsMax: 1,
    options: [],
    summary: 'Let a release that failed here be tried again.',
    text: ['VERSION as `otactl why` shows it, or the release id.'],
    example: 'otactl undeny 1.2',
    exits: ['2: it is not on the denylist'],
  },
  completion: {
    arguments: 'bash|zsh|fish',
    argumentsMin: 1,
    argumentsMax: 1,
    options: [],
    summary: 'Print the completion script for a shell.',
    text: [],
    example: 'otactl completion bash > /etc/bash_completion.d/otactl',
    exits: [],
  },
} as const satisfies Record<string, CommandDoc>;

export const commands = { ...lookCommands, ...updateCommands, ...policyCommands };
export type CommandName = keyof typeof commands;
export const commandNames = Object.keys(commands) as CommandName[];
export const commandDoc = (name: CommandName): CommandDoc => commands[name];

export const commandGroups: readonly (readonly [title: string, names: readonly string[]])[] = [
  ['Look', Object.keys(lookCommands)],
  ['Update', Object.keys(updateCommands)],
  ['Decide', Object.keys(policyCommands)],
];

export const exitCodeMeanings: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done'],
  [1, 'error'],
  [2, 'nothing to do'],
  [3, 'refused by policy; the reason is printed'],
  [4, 'reboot required'],
  [5, 'verification failed'],
  [6, 'busy'],
  [64, 'wrong usage'],
];
