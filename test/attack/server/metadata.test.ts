import { testBehaviours } from './behaviours.ts';

testBehaviours(['root', 'timestamp', 'snapshot']);
