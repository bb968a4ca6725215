import { testBehaviours } from './behaviours.ts';
import { kindsByTestFile } from './kinds.ts';

testBehaviours(kindsByTestFile.metadata);
