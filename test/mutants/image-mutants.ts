// Known bugs of an image whose next release cannot read what the one before it left, or that has holes that were closed.

import { one, type SuiteMutant } from './mutant.ts';

const ids = ['image/user-ids.test.js'];
const lock = ['image/package-lock.test.js'];
const varRules = ['image/var-rules.test.js'];
const userIds = 'image/user-ids.js';

const startOrder = ['units/start-order.test.js'];

export const imageMutants: readonly SuiteMutant[] = [
  {
    name: 'image-lets-users-without-a-number-through',
    edits: one(userIds, 'filter((name) => !users.has(name))', 'filter(() => false)'),
    suite: ids,
  },
  {
    name: 'image-keeps-the-numbers-that-packages-took',
    edits: one(userIds, 'String(fixed.users.get(name) ?? id)', 'id'),
    suite: ids,
  },
  {
    name: 'image-gives-users-the-group-that-they-had',
    edits: one(userIds, 'groupId(gid)],', 'gid],'),
    suite: ids,
  },
  {
    name: 'image-gives-one-number-to-two',
    edits: one(userIds, '...sharedNumbers(files.passwd, fixed.users),', ''),
    suite: ids,
  },
  {
    name: 'image-without-security-updates-unasked',
    edits: one('image/debian-mirror.js', 'if (security === null) {', 'if (false) {'),
    suite: lock,
  },
  {
    name: 'image-takes-security-updates-for-the-release',
    edits: one('image/debian-mirror.js', '!/security|updates|backports/.test(', '!/updates|backports/.test('),
    suite: lock,
  },
  {
    name: 'image-template-of-any-version',
    edits: one('image/package-lock.js', '(\\\\+b[0-9]+)?$/', ''),
    suite: lock,
  },
  {
    name: 'image-repeats-the-rules-of-packages',
    edits: one('image/var-rules.js', ' && !made.has(path)', ''),
    suite: varRules,
  },
  {
    name: 'image-puts-its-rules-for-var-before-those-of-packages',
    edits: one('image/var-rules.js', "'zz-image-var.conf'", "'image-var.conf'"),
    suite: varRules,
  },
  {
    name: 'image-arms-the-dead-man-after-the-start',
    edits: one(
      'image/agent-layer.js',
      "'sysinit.target.wants/otad-deadman.timer'",
      "'timers.target.wants/otad-deadman.timer'",
    ),
    suite: startOrder,
  },
  {
    name: 'trial-as-long-as-the-dead-man-waits',
    edits: one('agent/core/trial-time.js', '25 * 60', '30 * 60'),
    suite: startOrder,
  },
  {
    name: 'trial-that-the-dead-man-ends',
    edits: one(
      'agent/core/select.js',
      'if (release.health.deadlineS * 1000 > policy.healthDeadlineMaxMs)',
      'if (false)',
    ),
    suite: ['agent/core/select.test.js'],
  },
  {
    name: 'setting-beyond-the-longest-trial',
    edits: one('agent/config/schema.js', 'if (health.deadlineMs > health.deadlineMaxMs)', 'if (false)'),
    suite: ['agent/config/config.test.js'],
  },
];
