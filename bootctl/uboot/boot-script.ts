// Turns the boot script into the one line that a variable of U-Boot's environment can hold, so that it can be compiled
// in and outlives the loss of both copies. Pure. Knows only the shapes that boot.cmd uses.

/** The variable that holds the script in a compiled-in environment. */
export const scriptName = 'otad_start';

/** Words after which a command follows on the same line without a semicolon. */
const opensBody = /(?:^|[ ;])(?:then|do|else)$/;

/** Throws RangeError on what cannot be put on one line. */
export const flattenScript = (script: string): string => {
  const lines = script
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return lines.reduce((text, line) => {
    // In the middle of one line a comment would swallow everything that follows.
    if (/\s#/.test(line)) throw new RangeError(`a comment needs a line of its own: ${line}`);
    if (line.endsWith('\\')) throw new RangeError(`a line cannot be continued: ${line}`);
    if (text === '') return line;
    return `${text}${opensBody.test(text) ? ' ' : '; '}${line}`;
  }, '');
};
