import { testBehaviours } from './behaviours.ts';

testBehaviours(['targets', 'document', 'image']);
