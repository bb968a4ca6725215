// The one registry of error codes. Each code has a class (what the core does about it), an HTTP status, an exit code
// of `otactl` and a sentence for the reader. The core looks at the class only; people read code, sentence and details.
// docs/reference/errors.md is checked against this table by a test.

/**
 * transient: try again later. source: the server's answer is wrong; try again later, or another mirror.
 * release: this release is wrong; after a bounded number of attempts it is denied. device: this gateway needs attention.
 * config: settings are wrong. policy: allowed later or with another command. request: the caller asked wrongly. bug: ours.
 */
export type ErrorClass = 'transient' | 'source' | 'release' | 'device' | 'config' | 'policy' | 'request' | 'bug';

/** Exit codes of `otactl`: 0 done, 1 error, 2 nothing to do, 3 refused by policy, 4 reboot required, 5 verification failed, 6 busy, 64 usage. */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 64;

interface ErrorEntry {
  readonly class: ErrorClass;
  readonly httpStatus: number;
  readonly exitCode: ExitCode;
  readonly sentence: string;
}

const entry = (cls: ErrorClass, httpStatus: number, exitCode: ExitCode, sentence: string): ErrorEntry => ({
  class: cls,
  httpStatus,
  exitCode,
  sentence,
});

export const errorCodes = {
  // Network: nothing was said, or nothing that counts.
  HTTP_UNREACHABLE: entry('transient', 502, 1, 'The server could not be reached. Check the network and the base URL.'),
  HTTP_TIMEOUT: entry('transient', 504, 1, 'The server did not answer in time.'),
  HTTP_TOO_SLOW: entry('transient', 504, 1, 'The server sent fewer bytes a second than the configured minimum.'),
  HTTP_TRUNCATED: entry(
    'transient',
    502,
    1,
    'The connection ended before the whole file arrived. What arrived is kept.',
  ),
  HTTP_STATUS: entry('transient', 502, 1, 'The server answered with an error status.'),
  FOLDER_GONE: entry(
    'transient',
    502,
    1,
    'The folder that the release comes from is not offered any more, or cannot be read. What arrived is kept: give the same command again.',
  ),
  CAPTIVE_PORTAL: entry(
    'transient',
    502,
    1,
    'Something else answers in place of the server, as a rule the login page of a captive portal. Log in on this network, or have the gateway let through; the update goes on by itself.',
  ),
  // Source: the server answered, but not what it may answer.
  HTTP_RANGE_MISMATCH: entry('source', 502, 1, 'The server answered a Range request with another range.'),
  HTTP_ENCODING_REFUSED: entry('source', 502, 1, 'The server compressed the answer. Serve the files as they are.'),
  HTTP_REDIRECT_REFUSED: entry(
    'source',
    502,
    1,
    'The server redirected too often, to plain HTTP, or to a local address.',
  ),
  FOLDER_INVALID: entry(
    'source',
    422,
    1,
    'The folder is no whole copy of a published repository. Copy all of it: metadata and targets.',
  ),
  RELEASE_MISSING: entry('source', 404, 1, 'Nothing is published there for this channel and this kind of gateway.'),
  FILE_TOO_LARGE: entry('source', 502, 5, 'The server sent more bytes than the signed length allows.'),
  METADATA_MISSING: entry('source', 502, 5, 'The server has no such metadata file.'),
  METADATA_MALFORMED: entry('source', 502, 5, 'A metadata file is not canonical, or not of the expected form.'),
  METADATA_SIGNATURE_INVALID: entry('source', 502, 5, 'A metadata file is not signed by enough of the trusted keys.'),
  METADATA_EXPIRED: entry('source', 502, 5, 'A metadata file has expired. The publisher must sign a new one.'),
  METADATA_ROLLBACK: entry('source', 502, 5, 'The server offers older metadata than this gateway has seen.'),
  METADATA_MISMATCH: entry('source', 502, 5, 'A metadata file is not the one that the signed parent names.'),
  TARGET_UNKNOWN: entry('source', 404, 5, 'The signed metadata lists no such file.'),
  TARGET_DIGEST_MISMATCH: entry('source', 502, 5, 'A file does not have the signed digest.'),
  // Wrong bytes are the server's fault, never the release's: who can spoil a download must not get a release denied.
  INDEX_MALFORMED: entry('source', 502, 5, 'The chunk index of the image is not of the documented form.'),
  PATCH_MALFORMED: entry('source', 502, 5, 'The patch is damaged, or not of the documented form.'),
  PATCH_BASE_MISMATCH: entry('source', 502, 5, 'The patch is for another image than the one that runs or is wanted.'),
  PATCH_CODEC_MISMATCH: entry('source', 502, 5, 'The patch was made for another release of the compression library.'),
  IMAGE_DIGEST_MISMATCH: entry('source', 502, 5, 'The image does not have the signed digest.'),
  // Release: signed, but not for here or not whole.
  RELEASE_MALFORMED: entry('release', 422, 5, 'The signed release document is not of the expected form.'),
  RELEASE_INCOMPATIBLE: entry('release', 422, 3, 'The release is for other hardware or another product.'),
  RELEASE_TOO_LARGE: entry('release', 422, 3, 'The release does not fit into the slot.'),
  VERITY_ROOT_MISMATCH: entry('release', 422, 5, 'The dm-verity root of the image is not the signed one.'),
  HEALTH_FAILED: entry('release', 422, 5, 'The new system did not pass its health checks.'),
  TRIES_EXHAUSTED: entry('release', 422, 5, 'The new system did not come up within its boot attempts.'),
  // Device: this gateway, here.
  SLOT_RUNNING: entry('device', 409, 3, 'The running slot is never written.'),
  SLOT_BUSY: entry('device', 409, 6, 'The slot is mounted or held by another program.'),
  SLOT_MISSING: entry('device', 500, 1, 'The slot device does not exist.'),
  SLOT_IO: entry('device', 500, 1, 'Reading or writing the slot failed.'),
  BOOT_SET_INCOMPLETE: entry(
    'device',
    500,
    5,
    'The boot files of the release are not all there as they were signed. They are fetched again with the next install.',
  ),
  BOOT_PLACE_UNUSABLE: entry(
    'device',
    500,
    1,
    "The folder for the slot's boot files cannot be used. Check bootFolders of the bootloader, and that it is mounted writable.",
  ),
  BOOT_STAGE_IO: entry('device', 500, 1, 'The boot files of the release could not be kept in the state folder.'),
  SLOT_READBACK_MISMATCH: entry(
    'device',
    500,
    5,
    'The slot returned other bytes than were written: the storage is failing.',
  ),
  DISK_FULL: entry('device', 507, 1, 'The disk is full.'),
  STORE_CORRUPT: entry(
    'device',
    500,
    1,
    'The state database was damaged. It was set aside and rebuilt from the device.',
  ),
  STORE_IO: entry('device', 500, 1, 'The state database could not be read or written.'),
  STORE_BUSY: entry('device', 409, 6, 'Another otad holds the state database. Stop it first.'),
  BOOT_ENV_UNREADABLE: entry('device', 500, 1, 'No valid copy of the bootloader environment could be read.'),
  BOOT_ENV_UNSUPPORTED: entry(
    'config',
    500,
    1,
    'The bootloader environment is configured in a way that otad does not support.',
  ),
  BOOT_ENV_UNWRITABLE: entry('device', 500, 1, 'The bootloader environment could not be written.'),
  BOOT_ENV_BUSY: entry('transient', 409, 6, 'Another program holds the lock of the bootloader environment.'),
  BOOT_ESP_UNUSABLE: entry('device', 500, 1, 'The EFI system partition is not there, or not the one that was booted.'),
  BOOT_ENTRY_MISSING: entry('device', 500, 1, 'The slot has no boot loader entry that could be started.'),
  BOOT_CHOICE_PINNED: entry(
    'config',
    409,
    3,
    'The boot loader is told to start another entry than the slots would have it.',
  ),
  BOOT_WRITE_LOST: entry('device', 500, 1, 'The bootloader state was written but reads back differently.'),
  BOOT_EVIDENCE_MISSING: entry(
    'device',
    500,
    1,
    'Nothing shows which slot is running. Put otad.slot= on the kernel command line.',
  ),
  BOOT_EVIDENCE_CONFLICT: entry(
    'device',
    500,
    1,
    'Two witnesses contradict each other about which slot is running. Nothing is changed until they agree.',
  ),
  SLOT_AMBIGUOUS: entry(
    'device',
    409,
    3,
    'Two devices could be this slot, so neither is written. Remove one, or name the slots by /dev/disk/by-path in the settings.',
  ),
  BOOT_COMMAND_LINE_UNSAFE: entry(
    'device',
    500,
    1,
    'The slot is not started: its kernel would not reset after a panic. Put panic=10 into the cmdline.txt of its boot partition.',
  ),
  BOOT_HELPER_UNREACHABLE: entry(
    'transient',
    503,
    1,
    'The boot helper does not answer on its socket. See: systemctl status otad-boot.socket otad-boot.service',
  ),
  RELEASE_UNSIGNED: entry(
    'device',
    409,
    5,
    'The slot holds no release that signed metadata names and none that was confirmed here, so it is not started.',
  ),
  RELEASE_BELOW_FLOOR: entry(
    'device',
    409,
    3,
    'The release is older than what was confirmed here, and was never confirmed here itself, so it is not started.',
  ),
  REBOOT_REFUSED: entry('device', 500, 1, 'The command that reboots the system failed.'),
  REBOOT_INEFFECTIVE: entry('device', 500, 4, 'The reboot was requested but the system is still running.'),
  SOCKET_IN_USE: entry('device', 409, 6, 'Another otad already answers on this socket.'),
  SOCKET_UNUSABLE: entry('device', 500, 1, 'The API socket could not be made at this path.'),
  // Config.
  CONFIG_INVALID: entry('config', 500, 64, 'A setting is not valid.'),
  CONFIG_UNREADABLE: entry('config', 500, 64, 'A settings file could not be read.'),
  SERVER_UNSET: entry(
    'config',
    409,
    1,
    'No server is configured (baseUrls). Updates come from a folder then: otactl install FOLDER',
  ),
  CLIENT_CERTIFICATE_UNUSABLE: entry('config', 500, 1, 'The client certificate or its key cannot be used.'),
  TRUST_ROOT_MISSING: entry(
    'config',
    500,
    1,
    'No trusted root metadata is installed. Without it nothing is installed.',
  ),
  KEY_UNUSABLE: entry('config', 500, 1, 'A signing key is missing, not private, or not usable.'),
  REPOSITORY_INVALID: entry('config', 500, 1, 'The folder is not a repository that otapub made and can add to.'),
  LAYER_INVALID: entry('config', 422, 64, 'A layer of the image cannot be used.'),
  IMAGE_UNUSABLE: entry('config', 422, 64, 'The image is not a whole squashfs image that can be published.'),
  BOOT_SET_UNUSABLE: entry('config', 422, 64, 'The folder does not hold boot files that can be published.'),
  REQUEST_INVALID: entry('config', 422, 64, 'The file is not a signing request of otapub, or was altered.'),
  PORT_IN_USE: entry('config', 409, 6, 'Another program listens on this port.'),
  TOOL_MISSING: entry('config', 500, 1, 'A program that this step needs is not installed.'),
  TOOL_FAILED: entry('config', 500, 1, 'A program that this step runs has failed.'),
  // Policy: a person may decide otherwise.
  DENIED: entry('policy', 409, 3, 'The release failed here before and is on the denylist.'),
  UNCONFIRMED: entry('policy', 409, 3, 'The running system is not confirmed yet; the other slot is the only way back.'),
  NO_ROLLBACK_TARGET: entry('policy', 409, 3, 'The other slot holds no verified system to return to.'),
  IMAGE_NOT_PATCHABLE: entry('policy', 422, 3, 'No patch can be made for this image: gateways update by the index.'),
  IMAGE_NOT_INDEXABLE: entry('policy', 422, 3, 'No chunk index can be made for this image: gateways fetch it whole.'),
  PATCH_UNPROVEN: entry('bug', 500, 1, 'The patch does not make the new image, and was thrown away.'),
  RELEASE_REFUSED: entry('policy', 409, 3, 'The release contradicts what is published already.'),
  ROTATION_REFUSED: entry(
    'policy',
    409,
    3,
    'This change of keys would leave devices without an update they can accept.',
  ),
  REQUEST_STALE: entry('policy', 409, 3, 'The signing request no longer fits the repository. Make it again.'),
  REPOSITORY_EXISTS: entry('policy', 409, 3, 'The folder holds a repository or keys already. Nothing was changed.'),
  // Request.
  NOTHING_TO_DO: entry('request', 409, 2, 'There is nothing to do.'),
  BUSY: entry('request', 409, 6, 'otad is busy with another step. Try again when it has finished.'),
  BAD_REQUEST: entry('request', 400, 64, 'The request is not of the expected form.'),
  NOT_FOUND: entry('request', 404, 64, 'There is no such resource.'),
  FORBIDDEN: entry('request', 403, 3, 'This socket is read-only, or the request came from a web page.'),
  AGENT_UNREACHABLE: entry('request', 503, 1, 'otad does not answer on its socket. See: systemctl status otad'),
  CANCELLED: entry('transient', 409, 1, 'The step was cancelled.'),
  INTERNAL: entry('bug', 500, 1, 'otad reached a state that should not exist. Please report it with the history.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorCodes;

/** Facts that go with an error: numbers, names, paths. Never secrets. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** An error as it is kept in state, history and answers. */
export interface Failure {
  readonly code: ErrorCode;
  readonly class: ErrorClass;
  /** The sentence of the code and the details, for a person. */
  readonly message: string;
  /** Seconds the server asked us to wait (Retry-After), when it did. */
  readonly retryAfterS?: number;
}

const describe = (details: ErrorDetails): string =>
  Object.entries(details)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ');

/** The only error that otad's own code throws. `message` is the sentence of the code, then the details. */
export class OtadError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}, options?: ErrorOptions) {
    const facts = describe(details);
    super(facts === '' ? errorCodes[code].sentence : `${errorCodes[code].sentence} (${facts})`, options);
    this.name = 'OtadError';
    this.code = code;
    this.details = details;
  }

  get class(): ErrorClass {
    return errorCodes[this.code].class;
  }
}

/** Any thrown value as a {@link Failure}; what is not an OtadError is a bug of ours and says so. */
export const toFailure = (error: unknown): Failure => {
  if (error instanceof OtadError) {
    const retryAfterS = error.details.retryAfterS;
    return {
      code: error.code,
      class: error.class,
      message: error.message,
      ...(typeof retryAfterS === 'number' ? { retryAfterS } : {}),
    };
  }
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { code: 'INTERNAL', class: 'bug', message: `${errorCodes.INTERNAL.sentence} (${text})` };
};

/** The server answers no request for a part of a file: its answer to any other part would be the same. */
export const isRangeless = ({ code, details }: OtadError): boolean =>
  code === 'HTTP_RANGE_MISMATCH' || (code === 'HTTP_STATUS' && details.status === 416);

/** Marks the end of an exhaustive switch. */
export const assertNever = (value: never): never => {
  throw new OtadError('INTERNAL', { unexpected: JSON.stringify(value) });
};
