// What the publisher does during a life, step by step.

import { largeFrom } from './catalogue.ts';
import { createChance, foldSeed } from './chance.ts';
import type { Life } from './faults.ts';

export interface Step {
  readonly sequence: number;
  readonly isHealthy: boolean;
}

const randomSteps = (seed: number): readonly Step[] => {
  const chance = createChance(foldSeed(seed, 0x5c12));
  const first = chance.hit(0.25) ? largeFrom : 2;
  return Array.from({ length: 1 + chance.below(3) }, (_, index) => ({
    sequence: first + 2 * index,
    isHealthy: chance.hit(0.7),
  }));
};

export const scriptOf = ({ scenario, seed }: Life): readonly Step[] => {
  switch (scenario) {
    case 'update':
      return [{ sequence: 2, isHealthy: true }];
    case 'sick':
      return [
        { sequence: 2, isHealthy: false },
        { sequence: 3, isHealthy: true },
      ];
    case 'mixed':
      return randomSteps(seed);
  }
};
