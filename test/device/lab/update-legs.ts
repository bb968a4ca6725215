// The legs of an update, one after the other, each with what the console says at its end. What power cuts are spread over.

import type { LabBoard } from './boards.ts';
import { sentences, versionOf } from './journey.ts';

export interface UpdateLeg {
  readonly name: string;
  readonly until: RegExp;
}

/** From the moment that the agent has started with the new settings. */
export const legsToReboot: readonly UpdateLeg[] = [
  { name: 'the question to the server', until: sentences.installing(versionOf('good')) },
  { name: 'download and verification', until: sentences.installed(versionOf('good')) },
  { name: 'the activation', until: sentences.activated(versionOf('good')) },
  { name: 'the request to restart', until: sentences.rebooting },
];

export const legsFromReboot = ({ firmwareSays }: LabBoard): readonly UpdateLeg[] => {
  const version = versionOf('good');
  return [
    { name: 'the way down', until: firmwareSays },
    { name: 'kernel and initramfs', until: new RegExp(`${firmwareSays.source}[^]*systemd\\[1\\]: `) },
    { name: 'the start of the system', until: sentences.trial(version) },
    { name: 'the judgement', until: sentences.confirmed(version) },
  ];
};
