// What the routes read from: the agent behind its port, the history, the clock and the facts that do not change while
// the process runs. Handed in by daemon.ts; nothing here is looked up.

import type { Failure } from '../core/errors.ts';
import type { AgentControl, Clock, InspectBoot, Store } from '../core/ports.ts';
import type { Policy, SlotName } from '../core/types.ts';

export interface ConfigValue {
  readonly key: string;
  readonly value: unknown;
  /** The file that set it, or `default`. */
  readonly origin: string;
}

/** Who this gateway is, as settings and image say. */
export interface Identity {
  readonly agentVersion: string;
  readonly compatible: string;
  readonly channel: string;
}

/** The switches that change what happens next. */
export type Automation = Pick<Policy, 'isAutoInstall' | 'isAutoReboot'>;

export interface ApiContext {
  readonly control: AgentControl;
  readonly store: Pick<Store, 'readHistory'>;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly automation: Automation;
  readonly inspectBoot: InspectBoot;
  readonly slotPaths: Readonly<Record<SlotName, string>>;
  /** Without secrets: what stands here is shown to every local user. */
  readonly config: readonly ConfigValue[];
  /** One for each settings file that was left out. */
  readonly configProblems: readonly Failure[];
}
