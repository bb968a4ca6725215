// The daemon as a process of its own group, kept running the way a service manager does: started again after it ended by
// itself or was killed, not after it was told to stop. Output goes to a log file, as it would to the journal.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { toolPath } from './child-process.ts';

const restartDelayMs = 200;
/** A daemon that ends within this time of its start by itself did not start. */
const fastFailureMs = 1000;
const stopTimeoutMs = 3000;

export interface AgentCommand {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Beside the path and the language. */
  readonly environment: Readonly<Record<string, string>>;
  readonly logPath: string;
  readonly pidPath: string;
  /** Like StartLimitBurst: a daemon that fails more often in a row right after its start is left down. */
  readonly fastFailuresMax: number;
  /** The daemon fails at each start and stays down. */
  readonly onGivenUp: (exit: string) => void;
}

export class AgentProcess {
  readonly #command: AgentCommand;
  #child: ChildProcess | null = null;
  /** Process group of the newest daemon; outlives the daemon itself while something of it still runs. */
  #group: number | null = null;
  #restart: NodeJS.Timeout | null = null;
  #restarts = 0;
  /** In a row. A SIGKILL neither counts nor ends the row. */
  #fastFailures = 0;
  #isWanted = true;
  #ended: Promise<void> = Promise.resolve();

  constructor(command: AgentCommand) {
    this.#command = command;
    this.#start();
  }

  /** Process id of the running daemon; null while none runs. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** SIGKILL to the daemon and all it started; the service manager starts it again. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#signal('SIGKILL');
    await this.#ended;
  }

  /** No daemon after this: gracefully as in a shutdown, or at once as when the power goes. */
  async stop(how: 'graceful' | 'power-cut'): Promise<void> {
    this.#isWanted = false;
    if (this.#restart !== null) clearTimeout(this.#restart);
    this.#restart = null;
    this.#signal(how === 'graceful' ? 'SIGTERM' : 'SIGKILL');
    const timer = setTimeout(() => this.#signal('SIGKILL'), stopTimeoutMs);
    await this.#ended;
    clearTimeout(timer);
    // What the daemon had started and did not take along.
    this.#signalGroup('SIGKILL');
  }

  #signal(name: NodeJS.Signals): void {
    if (this.#child !== null) this.#signalGroup(name);
  }

  #signalGroup(name: NodeJS.Signals): void {
    if (this.#group === null) return;
    try {
      process.kill(-this.#group, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #start(): void {
    const startedMs = performance.now();
    const log = openSync(this.#command.logPath, 'a');
    const [program = '', ...args] = this.#command.command;
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: { PATH: toolPath, LANG: 'C.UTF-8', ...this.#command.environment },
    });
    closeSync(log);
    this.#child = child;
    this.#group = child.pid ?? null;
    writeFileSync(this.#command.pidPath, `${child.pid ?? ''}\n`);
    this.#ended = new Promise((done) => {
      child.once('error', done);
      child.once('exit', (code, signal) => {
        this.#child = null;
        done();
        // SIGKILL comes from outside and says nothing about the daemon.
        const isFastFailure = signal !== 'SIGKILL' && performance.now() - startedMs < fastFailureMs;
        if (signal !== 'SIGKILL') this.#fastFailures = isFastFailure ? this.#fastFailures + 1 : 0;
        if (this.#isWanted) this.#restartSoon(signal ?? `exit status ${code}`);
      });
    });
  }

  #restartSoon(exit: string): void {
    this.#restarts += 1;
    if (this.#fastFailures > this.#command.fastFailuresMax) {
      this.#command.onGivenUp(exit);
      return;
    }
    this.#restart = setTimeout(() => {
      this.#restart = null;
      if (this.#isWanted) this.#start();
    }, restartDelayMs);
  }
}
