// The table of routes: what each reads or commands, its shapes and its errors. The server mounts it and the OpenAPI
// document is made from it, so neither can know a route that the other does not.

import type { ZodType } from 'zod';
import { type ErrorCode, OtadError } from '../core/errors.ts';
import type { Command } from '../core/events.ts';
import { bootBody } from './boot.ts';
import type { ApiContext } from './context.ts';
import {
  acceptedSchema,
  bootSchema,
  configSchema,
  denylistSchema,
  historyQuery,
  historySchema,
  installBody,
  markBadBody,
  noBody,
  noQuery,
  reasonBody,
  slotsSchema,
  statusSchema,
  undenyBody,
  whySchema,
} from './schema.ts';
import { slotBodies } from './slot.ts';
import { denylistBody, statusBody } from './status.ts';
import { whyBody } from './why.ts';

export interface ReadRoute {
  readonly path: string;
  readonly name: string;
  readonly summary: string;
  readonly query: ZodType;
  readonly answer: ZodType;
  /** Checks the query and reads. Throws BAD_REQUEST. */
  readonly read: (query: unknown, context: ApiContext) => Promise<object>;
}

export interface CommandRoute {
  readonly path: string;
  readonly name: string;
  readonly summary: string;
  readonly body: ZodType;
  readonly errors: readonly ErrorCode[];
  /** Throws BAD_REQUEST. */
  readonly toCommand: (body: unknown) => Command;
}

/** Reading boot control may have to wait for a lock, and for the boot helper to be started on a slow board. */
const inspectionMs = 20_000;
/** How far back `why` looks for a rollback. */
const whyHistoryMax = 200;

const parse = <T>(schema: ZodType<T>, value: unknown): T => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new OtadError('BAD_REQUEST', {
    at: issue === undefined || issue.path.length === 0 ? undefined : issue.path.join('.'),
    problem: issue?.message,
  });
};

const read = <Q, A extends object>(route: {
  name: string;
  summary: string;
  query: ZodType<Q>;
  answer: ZodType<A>;
  read: (query: Q, context: ApiContext) => A | Promise<A>;
}): ReadRoute => ({
  ...route,
  path: `/v1/${route.name}`,
  read: async (query, context) => route.read(parse(route.query, query), context),
});

const command = <B>(route: {
  name: string;
  summary: string;
  body: ZodType<B>;
  errors: readonly ErrorCode[];
  toCommand: (body: B) => Command;
}): CommandRoute => ({
  ...route,
  path: `/v1/${route.name}`,
  // A command without arguments needs no body.
  toCommand: (body) => route.toCommand(parse(route.body, body ?? {})),
});

export const readRoutes: readonly ReadRoute[] = [
  read({
    name: 'status',
    summary: 'What runs, what is in the slots, what happens now and next.',
    query: noQuery,
    answer: statusSchema,
    read: (_, context) => statusBody(context.control.snapshot(), context.clock.now(), context),
  }),
  read({
    name: 'slots',
    summary: 'The two slots, as bootloader, kernel and slot records say.',
    query: noQuery,
    answer: slotsSchema,
    read: (_, context) => ({ slots: slotBodies(context.control.snapshot(), context.slotPaths) }),
  }),
  read({
    name: 'boot',
    summary: 'Boot control as it stands on the device now: bootloader, witnesses, slots, problems, raw records.',
    query: noQuery,
    answer: bootSchema,
    read: async (_, context) =>
      bootBody(
        context.control.snapshot(),
        await context.inspectBoot(AbortSignal.timeout(inspectionMs)),
        await context.store.readHistory(whyHistoryMax),
        context.clock.now(),
        context,
      ),
  }),
  read({
    name: 'history',
    summary: 'What happened here, newest first.',
    query: historyQuery,
    answer: historySchema,
    read: async ({ limit }, context) => ({ history: [...(await context.store.readHistory(limit))] }),
  }),
  read({
    name: 'why',
    summary: 'Why it is not updating, and why it rolled back: every unmet condition as a sentence.',
    query: noQuery,
    answer: whySchema,
    read: async (_, context) =>
      whyBody(
        context.control.snapshot(),
        context.clock.now(),
        context.automation,
        await context.store.readHistory(whyHistoryMax),
        context.configProblems,
      ),
  }),
  read({
    name: 'config',
    summary: 'Every setting with its value and the file that set it, and the files that are left out.',
    query: noQuery,
    answer: configSchema,
    read: (_, context) => ({ leftOut: [...context.configProblems], config: [...context.config] }),
  }),
  read({
    name: 'denylist',
    summary: 'Releases that failed here and are never retried by themselves.',
    query: noQuery,
    answer: denylistSchema,
    read: (_, context) => denylistBody(context.control.snapshot()),
  }),
];

export const commandRoutes: readonly CommandRoute[] = [
  command({
    name: 'check',
    summary: 'Asks the server for news now. The outcome appears in the status as lastCheck.',
    body: noBody,
    errors: ['BUSY'],
    toCommand: () => ({ command: 'check' }),
  }),
  command({
    name: 'install',
    summary: 'Checks and installs now, windows, waves and hold notwithstanding. Signatures, floor and denylist stand.',
    body: installBody,
    errors: ['BUSY', 'UNCONFIRMED'],
    toCommand: ({ folder }) => (folder === null ? { command: 'install' } : { command: 'install', folder }),
  }),
  command({
    name: 'reboot',
    summary: 'Activates what is staged (if it is not yet) and reboots into it now, outside of windows too.',
    body: noBody,
    errors: ['BUSY', 'NOTHING_TO_DO'],
    toCommand: () => ({ command: 'reboot' }),
  }),
  command({
    name: 'confirm',
    summary: 'Confirms the running system without waiting for its health checks.',
    body: noBody,
    errors: ['BUSY', 'NOTHING_TO_DO'],
    toCommand: () => ({ command: 'confirm' }),
  }),
  command({
    name: 'rollback',
    summary:
      'Returns to the other slot: reads it back and verifies it, then activates it and reboots. What does not verify changes nothing.',
    body: reasonBody,
    errors: ['BUSY', 'NO_ROLLBACK_TARGET'],
    toCommand: ({ reason }) => ({ command: 'rollback', reason }),
  }),
  command({
    name: 'mark-bad',
    summary:
      'Marks a slot bad, the one that does not run unless named: it is not booted and its release not installed again. The running slot is left at the next reboot.',
    body: markBadBody,
    errors: ['BUSY', 'NO_ROLLBACK_TARGET', 'NOTHING_TO_DO', 'UNCONFIRMED'],
    toCommand: ({ slot, reason }) => ({ command: 'mark-bad', slot, reason }),
  }),
  command({
    name: 'hold',
    summary: 'Stops updates until they are released. What is written stays; health checks and reverts go on.',
    body: reasonBody,
    errors: [],
    toCommand: ({ reason }) => ({ command: 'hold', reason }),
  }),
  command({
    name: 'release-hold',
    summary: 'Ends a hold.',
    body: noBody,
    errors: ['NOTHING_TO_DO'],
    toCommand: () => ({ command: 'release-hold' }),
  }),
  command({
    name: 'undeny',
    summary: 'Takes a release off the denylist, so that it may be tried again.',
    body: undenyBody,
    errors: ['NOT_FOUND'],
    toCommand: ({ releaseId }) => ({ command: 'undeny', releaseId }),
  }),
];

export const acceptedAnswer = acceptedSchema;
