// The tryboot rows of docs/reference/boot-writes.md. The scene of each: `a` runs and is good, autoboot.txt is one sector
// already; `b` is the slot acted on. `steps` is what the code must really write, compared by power-cut.test.ts.

export interface TrybootWrites {
  readonly bootloader: string;
  readonly operation: string;
  readonly writes: readonly { readonly what: string; readonly ifPowerGoesAfter: string }[];
  readonly steps: readonly string[];
}

export const trybootWrites: readonly TrybootWrites[] = [];
