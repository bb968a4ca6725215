import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixedIdsIn, idProblems, namesById, withFixedIds } from '../../image/user-ids.ts';

const table = 'u root 0\ng nogroup 65534\nu net 998\nu otad 591 "agent"\nu sshd 989:65534\n# u ghost 1\ng shared 700\n';
const fixed = fixedIdsIn([table, 'u otad 5\nu net -\n']);
/** As a build leaves it in which one package more took its number before the others. */
const moved = {
  passwd: 'root:x:0:0::/root:/bin/sh\nnet:x:997:997::/:/n\notad:x:986:986::/:/n\nsshd:x:988:65534::/:/n\n',
  group: 'root:x:0:\nnet:x:997:\nnogroup:x:65534:\notad:x:986:\nshared:x:998:otad,net\n',
};

test('the end of a passwd file is nobody: root keeps its name', () => {
  const names = namesById('root:x:0:0:root:/root:/bin/sh\notad:x:987:987::/:/usr/sbin/nologin\n');
  assert.deepEqual(
    [...names],
    [
      [0, 'root'],
      [987, 'otad'],
    ],
  );
});

test('each user and group has the number that is fixed for it, whatever it was given', () => {
  assert.deepEqual(idProblems(moved, fixed), []);
  assert.deepEqual(withFixedIds(moved, fixed), {
    passwd: 'root:x:0:0::/root:/bin/sh\nnet:x:998:998::/:/n\notad:x:591:591::/:/n\nsshd:x:989:65534::/:/n\n',
    group: 'root:x:0:\nnet:x:998:\nnogroup:x:65534:\notad:x:591:\nshared:x:700:otad,net\n',
  });
});

test('of two lines for a name the first counts, and a line without a number says nothing', () => {
  assert.equal(fixed.users.get('otad'), 591);
  assert.equal(fixed.users.get('net'), 998);
  assert.equal(fixed.users.get('ghost'), undefined);
  assert.equal(fixed.groups.get('sshd'), undefined);
});

test('who has no fixed number is refused, with the line that would give one', () => {
  const files = { passwd: `${moved.passwd}db:x:987:987::/:/n\n`, group: `${moved.group}db:x:987:\nlogs:x:985:\n` };
  const taken = `${table}g other 600\n`;
  assert.deepEqual(
    idProblems(files, fixedIdsIn([taken])).map((text) => /'(.*)'/.exec(text)?.[1]),
    ['u db 601', 'g logs 602'],
  );
  assert.deepEqual(idProblems(files, fixedIdsIn([taken, 'u db 601\ng logs 602\n'])), []);
});

test('two with the same number are refused', () => {
  const files = { passwd: `${moved.passwd}db:x:987:65534::/:/n\n`, group: moved.group };
  assert.deepEqual(idProblems(files, fixedIdsIn([table, 'u db 591\n'])), ['otad and db have the same number 591']);
});
