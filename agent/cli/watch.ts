// `otactl watch`: shows every change until Ctrl-C or --timeout, and waits for otad to come back when it restarts.

import { setTimeout as pause } from 'node:timers/promises';
import { OtadError } from '../core/errors.ts';
import type { CommandContext, CommandRun } from './command.ts';
import { createFollower, type Follower } from './follower.ts';

const retryMs = 1000;

/** Follows one connection to its end. True when at least one status came. */
const followOnce = async (
  { api, invocation, terminal, signal }: CommandContext,
  follower: Follower,
): Promise<boolean> => {
  let isSeen = false;
  for await (const status of api.events('status', signal)) {
    isSeen = true;
    if (invocation.isJson) terminal.line(JSON.stringify(status));
    else follower.show(status);
  }
  return isSeen;
};

const isGone = (error: unknown): boolean => error instanceof OtadError && error.code === 'AGENT_UNREACHABLE';

const followForEver = async (context: CommandContext, follower: Follower): Promise<never> => {
  let isKnown = false;
  for (;;) {
    try {
      isKnown = (await followOnce(context, follower)) || isKnown;
      if (!context.invocation.isJson)
        follower.note('otad went away (a restart, or the gateway reboots). Waiting for it.');
    } catch (error) {
      // Only one that was there may be waited for; otherwise a wrong path would look like patience.
      if (!isKnown || !isGone(error)) throw error;
    }
    await pause(retryMs, undefined, { signal: context.signal });
  }
};

export const runWatch: CommandRun = async (asked) => {
  const { timeoutMs } = asked.invocation;
  const ending = new AbortController();
  asked.signal.addEventListener('abort', () => ending.abort(), { once: true });
  if (timeoutMs !== null) setTimeout(() => ending.abort(), timeoutMs).unref();
  const context = { ...asked, signal: ending.signal };
  const follower = createFollower(context.terminal);
  try {
    return await followForEver(context, follower);
  } catch (error) {
    if (!context.signal.aborted) throw error;
    return 0;
  } finally {
    if (!context.invocation.isJson) follower.end();
  }
};
