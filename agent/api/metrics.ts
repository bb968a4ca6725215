// The state as Prometheus text (exposition format 0.0.4). Names are a promise: dashboards and alerts hang on them;
// docs/reference/api.md lists this table. Pure.

import type { ProgressBody, StatusBody } from './schema.ts';

/** Facts of the process itself, read by the caller. */
export interface ProcessFacts {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: (status: StatusBody, facts: ProcessFacts) => readonly Sample[];
}

const claim = (isTrue: boolean): readonly Sample[] => [[{}, isTrue ? 1 : 0]];

const ofProgress = (status: StatusBody, value: (progress: ProgressBody) => number): readonly Sample[] =>
  status.progress === null
    ? []
    : [[{ slot: status.progress.slot, step: status.progress.step }, value(status.progress)]];

export const metrics: readonly Metric[] = [
  {
    name: 'otad_info',
    type: 'gauge',
    help: 'Always 1; labels name the agent, the product and the channel.',
    samples: (status) => [
      [{ agent_version: status.agentVersion, compatible: status.compatible, channel: status.channel }, 1],
    ],
  },
  {
    name: 'otad_running_info',
    type: 'gauge',
    help: 'Always 1; labels name the booted slot and the version that runs (empty when nothing proves it).',
    samples: (status) => [[{ slot: status.booted, version: status.version ?? '' }, 1]],
  },
  {
    name: 'otad_phase_info',
    type: 'gauge',
    help: 'Always 1; the label names the phase.',
    samples: (status) => [[{ phase: status.phase }, 1]],
  },
  {
    name: 'otad_confirmed',
    type: 'gauge',
    help: '1 when the bootloader holds the running slot for good.',
    samples: (status) => claim(status.confirmed),
  },
  {
    name: 'otad_attention',
    type: 'gauge',
    help: '1 when a person should look; the label names the error code.',
    samples: (status) => (status.attention === null ? claim(false) : [[{ code: status.attention.code }, 1]]),
  },
  {
    name: 'otad_held',
    type: 'gauge',
    help: '1 while an operator holds updates.',
    samples: (status) => claim(status.hold !== null),
  },
  {
    name: 'otad_staged',
    type: 'gauge',
    help: '1 while a verified release waits for its reboot.',
    samples: (status) => claim(status.staged !== null),
  },
  {
    name: 'otad_denylist_entries',
    type: 'gauge',
    help: 'Releases that failed here.',
    samples: (status) => [[{}, status.denylist.length]],
  },
  {
    name: 'otad_slot_info',
    type: 'gauge',
    help: 'Always 1, one a slot; labels name its boot state and version.',
    samples: (status) =>
      status.slots.map((slot) => [{ slot: slot.name, state: slot.state, version: slot.version ?? '' }, 1]),
  },
  {
    name: 'otad_slot_verified',
    type: 'gauge',
    help: '1 when the whole slot was read back and matched its signed root.',
    samples: (status) => status.slots.map((slot) => [{ slot: slot.name }, slot.verified ? 1 : 0]),
  },
  {
    name: 'otad_slot_tries_left',
    type: 'gauge',
    help: 'Boot attempts that the bootloader still grants; absent where it does not count.',
    samples: (status) =>
      status.slots.flatMap((slot) => (slot.triesLeft === null ? [] : [[{ slot: slot.name }, slot.triesLeft] as const])),
  },
  {
    name: 'otad_last_check_timestamp_seconds',
    type: 'gauge',
    help: 'When the server was asked last, by the local clock.',
    samples: (status) => (status.lastCheck === null ? [] : [[{}, status.lastCheck.timeMs / 1000]]),
  },
  {
    name: 'otad_last_check_success',
    type: 'gauge',
    help: '1 when the last check got an answer that counts.',
    samples: (status) => (status.lastCheck === null ? [] : claim(status.lastCheck.failure === null)),
  },
  {
    name: 'otad_next_check_seconds',
    type: 'gauge',
    help: 'Seconds until the server is asked next.',
    samples: (status) => [[{}, status.nextPollInMs / 1000]],
  },
  {
    name: 'otad_progress_done_bytes',
    type: 'gauge',
    help: 'Bytes done of the step that runs; absent when none does.',
    samples: (status) => ofProgress(status, (progress) => progress.doneBytes),
  },
  {
    name: 'otad_progress_total_bytes',
    type: 'gauge',
    help: 'Bytes of the step that runs; absent when none does.',
    samples: (status) => ofProgress(status, (progress) => progress.totalBytes),
  },
  {
    name: 'otad_progress_fetched_bytes',
    type: 'gauge',
    help: 'Bytes that came over the network, or from the offered folder, in this attempt; absent when no step runs.',
    samples: (status) => ofProgress(status, (progress) => progress.fetchedBytes),
  },
  {
    name: 'otad_progress_copied_bytes',
    type: 'gauge',
    help: "Bytes of the image that this gateway's own slots gave in this attempt; absent when no step runs.",
    samples: (status) => ofProgress(status, (progress) => progress.copiedBytes),
  },
  {
    name: 'otad_progress_rebuilt_bytes',
    type: 'gauge',
    help: 'Bytes of the image that were rebuilt from a patch in this attempt; absent when no step runs.',
    samples: (status) => ofProgress(status, (progress) => progress.rebuiltBytes),
  },
  {
    name: 'otad_progress_saved_bytes',
    type: 'gauge',
    help: 'Bytes that the network was spared in this attempt; absent when no step runs.',
    samples: (status) => ofProgress(status, (progress) => progress.savedBytes),
  },
  {
    name: 'otad_clock_synced',
    type: 'gauge',
    help: '1 when the local clock is known to be synchronised.',
    samples: (status) => claim(status.timeSynced),
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Resident memory of otad.',
    samples: (_, facts) => [[{}, facts.residentBytes]],
  },
  {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'CPU time of otad, user and system.',
    samples: (_, facts) => [[{}, facts.cpuSeconds]],
  },
];

const escapeLabel = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

const sampleLine = (name: string, [labels, value]: Sample): string => {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
};

export const metricsText = (status: StatusBody, facts: ProcessFacts): string =>
  metrics
    .flatMap(({ name, type, help, samples }) => {
      const lines = samples(status, facts).map((sample) => sampleLine(name, sample));
      return lines.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines];
    })
    .join('\n')
    .concat('\n');
