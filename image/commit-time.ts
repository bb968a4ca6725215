// When a tree changed last, for a build whose time must not be that of the clock: the time of its newest commit.

import { runTool } from './tool.ts';

/** Seconds since 1970 of the newest commit of those folders that are of a git checkout; 0 where none is. */
export const newestCommitS = async (folders: readonly string[]): Promise<number> => {
  // Builds run as root and checkouts belong to somebody; git would say nothing of them, or what their settings want.
  const settings = ['-c', 'safe.directory=*', '-c', 'log.showSignature=false'];
  const times = await Promise.all(
    folders.map((folder) =>
      runTool('git', [...settings, '-C', folder, 'log', '-1', '--format=%ct']).then(Number, () => 0),
    ),
  );
  return Math.max(0, ...times);
};
