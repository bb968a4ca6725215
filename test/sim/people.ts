// What health checks and technicians have said, as far as it permits what would else be a violation.

import type { Command, Reply } from '../../agent/core/events.ts';
import type { HealthReport } from '../../agent/core/types.ts';
import { slotState } from '../../bootctl/model.ts';
import type { SealedRelease } from './catalogue.ts';
import { contentOf, type Ground } from './ground.ts';

export interface People {
  onPowerOn(): void;
  onAssessed(report: HealthReport): void;
  /** A technician asks; what follows may come before the answer. */
  onCommand(command: Command): void;
  onReply(command: Command, reply: Reply): void;
  /** A report of this boot, or a person in this boot, says that what runs may be confirmed. */
  mayConfirm(): boolean;
  /** What runs is being confirmed, rightly. */
  onConfirmed(): void;
  /** Sick by the catalogue, yet let pass by a person or by a baseline that failed as well. */
  isAccepted(release: SealedRelease): boolean;
  /** Losses of the database before a person last asked to go back: what was asked may be forgotten with it. */
  lossesAtRollback(): number;
  /** How often a technician asked for a step that costs reboots or goes back. */
  commands(kind: Command['command']): number;
}

export const createPeople = (ground: Ground): People => {
  const accepted = new Set<string>();
  const asked = new Map<Command['command'], number>();
  let baseline: ReadonlySet<string> = new Set();
  let hasPassed = false;
  let hasPersonConfirmed = false;
  let isPersonAsking = false;
  let lossesAtRollback = 0;

  const isRunningGood = (): boolean => ground.env !== null && slotState(ground.env, ground.running) === 'good';
  const acceptRunning = (): void => {
    const content = contentOf(ground, ground.running);
    if (content !== null) accepted.add(content.release.id);
  };

  return {
    onPowerOn: () => {
      hasPassed = false;
      hasPersonConfirmed = false;
      isPersonAsking = false;
    },
    onAssessed: (report) => {
      const failing = report.results.filter((result) => result.isRequired && !result.isPassed);
      if (isRunningGood()) {
        baseline = new Set(failing.map((result) => result.name));
        return;
      }
      hasPassed = failing.every((result) => baseline.has(result.name));
      if (hasPassed) acceptRunning();
    },
    onCommand: (command) => {
      if (command.command === 'confirm') isPersonAsking = true;
      if (command.command === 'rollback') lossesAtRollback = ground.databaseLosses;
      // Counted until it is refused: the process may end before it answers.
      asked.set(command.command, (asked.get(command.command) ?? 0) + 1);
    },
    onReply: (command, reply) => {
      if (command.command === 'confirm') isPersonAsking = false;
      if (!reply.isAccepted) {
        asked.set(command.command, (asked.get(command.command) ?? 0) - 1);
        return;
      }
      if (command.command === 'confirm') {
        hasPersonConfirmed = true;
        acceptRunning();
      }
    },
    mayConfirm: () => hasPassed || hasPersonConfirmed || isPersonAsking,
    onConfirmed: acceptRunning,
    isAccepted: (release) => accepted.has(release.release.id),
    lossesAtRollback: () => lossesAtRollback,
    commands: (kind) => asked.get(kind) ?? 0,
  };
};
