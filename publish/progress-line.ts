// One line that changes while long work goes on, for a person at a terminal. Says nothing where nobody watches.

const barWidth = 24;
/** Often enough to look alive. */
const everyMs = 100;

export interface ProgressLine {
  show(label: string, done: number, total: number): void;
  /** Wipes the line, so that what follows starts on a clean one. */
  end(): void;
}

/** `write` gets terminal text; null: nobody watches. `nowMs` as of a clock that does not jump. */
export const createProgressLine = (write: ((text: string) => void) | null, nowMs: () => number): ProgressLine => {
  let shownAtMs = Number.NEGATIVE_INFINITY;
  let shownLabel = '';
  return {
    show: (label, done, total) => {
      if (write === null || (label === shownLabel && nowMs() - shownAtMs < everyMs)) return;
      shownAtMs = nowMs();
      shownLabel = label;
      const share = total <= 0 ? 0 : Math.min(1, done / total);
      const filled = Math.round(share * barWidth);
      const percent = `${Math.floor(share * 100)}`.padStart(3);
      write(`\r\x1b[K${label.padEnd(12)} ${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)} ${percent}%`);
    },
    end: () => {
      if (shownLabel !== '') write?.('\r\x1b[K');
      shownLabel = '';
    },
  };
};
