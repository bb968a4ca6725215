import { rememberVerifications } from '../../support/remembered-verifications.ts';
import { testBehaviours } from './behaviours.ts';
import { kindsByTestFile } from './kinds.ts';

rememberVerifications();

testBehaviours(kindsByTestFile.targets);
