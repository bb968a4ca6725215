// Every limit of time in the lab, and no other place has one. They are for machines that stand still, not for slow ones: what
// is waited for goes on as long as the console or the control channel shows progress.

const minuteMs = 60_000;

export const limits = {
  /** Neither a line on the console nor an answer: the gateway hangs. Its watchdog should have struck before. */
  silenceMs: 5 * minuteMs,
  /** From power-on, or from a request for a restart, to a shell that answers. Three trials and a way back included. */
  comeBackMs: 25 * minuteMs,
  /** One command in the guest. The control program ends it a little earlier by itself. */
  commandMs: 6 * minuteMs,
  /** One answer of the agent; otactl's own limit is for gateways, which are twenty times as fast. */
  answerMs: 3 * minuteMs,
  /** Download, write, read back. */
  installMs: 20 * minuteMs,
  /** A monitor command of the emulator. */
  monitorMs: 2 * minuteMs,
  /** From the start of the emulator to a socket that takes a connection. */
  connectMs: minuteMs / 2,
  /** Between two looks at something that nobody announces. */
  lookAgainMs: 250,
  /** The same, at the emulator itself, which needs no boot for an answer. */
  lookAtEmulatorMs: 100,
  /** The guest's watchdog takes a longer pause of the host for a hang of the guest. */
  hostPauseMs: minuteMs / 3,
  /** The history at the end of a case, from a machine that may be in any state. */
  historyMs: minuteMs,
  /** A whole case; what takes longer has gone wrong in a way that nobody thought of. */
  caseMs: 60 * minuteMs,
} as const;
