// Where settings and state end up when the data partition fails: the initramfs's own functions, run by its shell, with real mounts
// in a namespace of their own.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { aFolder } from '../publish/publisher-fixture.ts';
import { reportNotRun } from '../support/not-run.ts';

const script = fileURLToPath(new URL('../../../image/initramfs/keep-state', import.meta.url));
const namespace = ['-m', '--propagation', 'private'];

/** A new root with an image, and what an earlier start has left on its data partition. */
const prepare = `set -e
cd "$1"; mkdir new run; new=$PWD/new
mount -t tmpfs image new
mkdir new/etc new/var new/data
echo image > new/etc/name; echo image > new/etc/plain
mount -t tmpfs data new/data
mkdir -p new/data/etc/upper new/data/etc/work new/data/var
echo ours > new/data/etc/upper/name; echo kept > new/data/var/state
image_is_done() { mount -o remount,ro new; }
`;
/** What the new root has then, what it takes, and what was said of it. */
const look = `set +e
if [ -n "$gateway" ]; then cat "$new/etc/name" "$new/etc/plain"; cat "$new/var/state" 2> /dev/null || echo none; fi
for folder in etc var; do (echo changed > "$new/$folder/changed") 2> /dev/null && echo "$folder takes changes"; done
if [ -e "$gateway/degraded" ]; then echo degraded; fi
for folder in etc/upper var; do [ -e "$new/data/$folder/changed" ] && echo "kept in $folder"; done
true`;

/** What is printed when the words have run between the two. */
const stateAfter = async (t: TestContext, words: string): Promise<readonly string[]> => {
  const folder = await aFolder(t);
  const text = `${prepare}alarm() { echo "$*"; }; . "$0"; gateway=$PWD/run; set +e\n${words}\n${look}`;
  const program = [...namespace, 'busybox', 'sh', '-c', text, script, folder];
  const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin:/usr/bin:/bin`, TMPDIR: join(folder, 'run') };
  const { status, stdout, stderr } = spawnSync('unshare', program, { encoding: 'utf8', env });
  assert.equal(status, 0, stderr);
  return stdout.trim().split('\n');
};

const both = ['etc takes changes', 'var takes changes'];
const seen = ['ours', 'image', 'kept'];
/** Of a boot that keeps nothing: the image's own, and what changes is in RAM. */
const inRam = ['image', 'image', 'none', ...both, 'degraded', 'kept in etc/upper', 'kept in var'];
const overlay =
  'mkdir "$1/l" "$1/u" "$1/w" "$1/o" && mount -t overlay -o "lowerdir=$1/l,upperdir=$1/u,workdir=$1/w,redirect_dir=off" o "$1/o"';
const hasMounts =
  spawnSync('unshare', [...namespace, 'sh', '-ec', `mkdir -p "$1"; mount -t tmpfs t "$1"; ${overlay}`, 'sh', '/tmp'])
    .status === 0;

if (hasMounts) {
  test('what changes is kept on the data partition, and nothing is said', async (t) => {
    const found = await stateAfter(t, 'image_is_done; keep_state "$new" ""');
    assert.deepEqual(found, [...seen, ...both, 'kept in etc/upper', 'kept in var']);
  });

  test('a data partition that takes no changes is still seen, and the gateway says that it forgets', async (t) => {
    const found = await stateAfter(t, 'image_is_done; mount -o remount,ro new/data; keep_state "$new" ""');
    const said = 'the data partition takes no changes: what changes is kept in RAM until the next start';
    assert.deepEqual(found, [said, ...seen, ...both, 'degraded']);
  });

  test('a data partition on which nothing is what it should be gives way to RAM', async (t) => {
    // The folder of /etc is a file, below and above.
    const words =
      'rm -r new/data/var new/data/etc; touch new/data/var new/data/etc; mount -o remount,ro new/data; image_is_done';
    const broken = `${words}; state_over_ram() { return 1; }; keep_state "$new" ""`;
    const said = 'nothing on the data partition can be used: settings and state are kept in RAM until the next start';
    assert.deepEqual(await stateAfter(t, broken), [said, ...inRam]);
  });

  test('half of it is taken back before the other way is gone: /etc is not kept where /var is not', async (t) => {
    // What cannot be bound can be no lower layer either.
    const broken = 'mount -t tmpfs var new/data/var; mount --make-unbindable new/data/var';
    const found = await stateAfter(t, `${broken}; image_is_done; keep_state "$new" ""`);
    assert.deepEqual(found.slice(1), inRam);
  });

  test('a temporary start sees everything, forgets what changes, and is not called degraded', async (t) => {
    const words = 'mkdir run/volatile; image_is_done; mount -o remount,ro new/data; keep_state "$new" 1';
    assert.deepEqual(await stateAfter(t, words), [...seen, ...both]);
  });

  test('without a data partition the gateway keeps its state in RAM and says so', async (t) => {
    const words = 'umount new/data; image_is_done; data_in_ram "$new" "no data partition"; keep_state "$new" ""';
    const said = 'no data partition: settings and state are kept in RAM until the next start';
    assert.deepEqual(await stateAfter(t, words), [said, ...inRam]);
  });
} else {
  reportNotRun('settings and state beside a data partition that fails', 'root, and overlay mounts');
}
