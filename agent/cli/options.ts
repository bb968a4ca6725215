// The options of otactl as data. Which command takes which stands with the commands in usage.ts.

export type OptionName =
  | 'json'
  | 'socket'
  | 'timeout'
  | 'help'
  | 'version'
  | 'yes'
  | 'limit'
  | 'no-wait'
  | 'dry-run'
  | 'verbose'
  | 'reason';

interface OptionDoc {
  readonly short: string | null;
  /** Name of the value, or null for a switch. */
  readonly value: string | null;
  readonly text: string;
}

export const options: Readonly<Record<OptionName, OptionDoc>> = {
  json: { short: null, value: null, text: 'Print JSON for programs.' },
  socket: {
    short: null,
    value: 'PATH',
    text: 'Directory of the sockets, or one socket. Default: $OTAD_SOCKET_DIR or /run/otad.',
  },
  timeout: { short: null, value: 'SECONDS', text: 'Give up waiting after so long.' },
  help: { short: 'h', value: null, text: 'Show help, also for one command.' },
  version: { short: null, value: null, text: 'Show the version of otactl.' },
  yes: { short: 'y', value: null, text: 'Do not ask, just do it.' },
  limit: { short: 'n', value: 'COUNT', text: 'Show so many entries (1 to 1000, default 20).' },
  'dry-run': { short: null, value: null, text: 'Show what would be done, and do nothing.' },
  verbose: { short: 'v', value: null, text: 'Show all evidence and the raw records of the bootloader as well.' },
  reason: { short: null, value: 'TEXT', text: 'Why; kept in the history and on the denylist.' },
  'no-wait': { short: null, value: null, text: 'Return as soon as otad has accepted the command.' },
};

export const globalOptions: readonly OptionName[] = ['json', 'socket', 'timeout', 'help', 'version'];
