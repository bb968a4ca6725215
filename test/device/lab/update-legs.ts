// The legs of an update, one after the other, each with what the console says at its end. What power cuts are spread over.

import type { LabBoard } from './boards.ts';
import { sentences, versionOf } from './journey.ts';

export interface UpdateLeg {
  readonly name: string;
  readonly until: RegExp;
}

/** From the moment that the agent has started with the new settings. */
export const updateLegs = ({ firmwareSays }: LabBoard): readonly UpdateLeg[] => {
  const version = versionOf('good');
  const rest = (pattern: RegExp): RegExp => new RegExp(`${sentences.rebooting.source}[^]*${pattern.source}`);
  return [
    { name: 'the question to the server', until: sentences.installing(version) },
    { name: 'download and verification', until: sentences.installed(version) },
    { name: 'the activation', until: sentences.activated(version) },
    { name: 'the way down', until: rest(firmwareSays) },
    { name: 'kernel and initramfs', until: rest(new RegExp(`${firmwareSays.source}[^]*systemd\\[1\\]: `)) },
    { name: 'the start of the system', until: sentences.trial(version) },
    { name: 'the judgement', until: sentences.confirmed(version) },
  ];
};
