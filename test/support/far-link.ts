// A link with a rate and a latency in a time of its own: requests are answered a latency after they were sent and share the rate evenly.
// Says how long requests by a window take on it, and how much is here too early while they come.

import { OtadError } from '../../agent/core/errors.ts';
import type { ReleaseSource } from '../../agent/core/ports.ts';
import { createLinkPace } from '../../agent/runtime/link-pace.ts';
import { createRangeWindow, type PendingRange } from '../../agent/runtime/range-window.ts';
import { anArtifact, streamOnly } from './slot-bench.ts';

const pieceBytes = 4096;

export interface FarLink {
  readonly latencyMs: number;
  readonly bytesPerSecond: number;
  readonly requestBytes: number;
  readonly requests: number;
}

interface Answer {
  readonly fromMs: number;
  leftBytes: number;
  readonly give: (lengthBytes: number) => void;
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

export const fetchFar = async ({ latencyMs, bytesPerSecond, requestBytes, requests }: FarLink) => {
  let nowMs = 0;
  let earlyBytesMax = 0;
  const answers: Answer[] = [];
  const source: ReleaseSource = {
    ...streamOnly,
    check: () => Promise.reject(new OtadError('INTERNAL')),
    stream: () => Promise.reject(new OtadError('INTERNAL')),
    streamRange: (_file, { lengthBytes }, sink) =>
      new Promise((resolve) => {
        const give = (length: number): void => {
          void sink(new Uint8Array(length), 'server');
          if (answer.leftBytes === 0) resolve();
        };
        const answer = { fromMs: nowMs + latencyMs, leftBytes: lengthBytes, give };
        answers.push(answer);
      }),
  };
  const ahead: PendingRange[] = [];
  let asked = 0;
  const lookAhead = (): void => {
    for (; asked < requests && window.hasRoom(requestBytes); asked += 1) {
      ahead.push(window.start({ offsetBytes: 0, lengthBytes: requestBytes }));
    }
  };
  const window = createRangeWindow({
    source,
    file: anArtifact(Buffer.alloc(4096)),
    pace: createLinkPace(() => nowMs),
    onFetched: lookAhead,
    onDropped: () => undefined,
    signal: new AbortController().signal,
  });
  const take = async (): Promise<void> => {
    for (lookAhead(); ahead.length > 0; lookAhead()) {
      await ahead[0]?.arrived(requestBytes);
      ahead.shift()?.taken(requestBytes);
    }
  };
  let isDone = false;
  const taking = take().then(() => {
    isDone = true;
  });
  for (await settle(); !isDone; await settle()) {
    const [next] = answers.filter(({ fromMs }) => fromMs <= nowMs);
    if (next === undefined) {
      nowMs = Math.min(...answers.map(({ fromMs }) => fromMs));
      continue;
    }
    const lengthBytes = Math.min(pieceBytes, next.leftBytes);
    nowMs += (lengthBytes * 1000) / bytesPerSecond;
    next.leftBytes -= lengthBytes;
    answers.splice(answers.indexOf(next), 1);
    next.give(lengthBytes);
    if (next.leftBytes > 0) answers.push(next); // the others are next
    const begun = answers.slice().sort((one, other) => one.fromMs - other.fromMs);
    const early = begun.slice(1).reduce((sum, { leftBytes }) => sum + requestBytes - leftBytes, 0);
    earlyBytesMax = Math.max(earlyBytesMax, early);
  }
  await taking;
  await window.close();
  return { seconds: nowMs / 1000, earlyBytesMax };
};
