import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readArguments, UsageError } from '../../../agent/cli/arguments.ts';
import { commandHelp, generalHelp } from '../../../agent/cli/help.ts';
import { commandDoc, commandNames } from '../../../agent/cli/usage.ts';

const misuses: readonly (readonly [readonly string[], RegExp])[] = [
  [[], /needs a command/],
  [['statsu'], /no command 'statsu'\. Did you mean: otactl status/],
  [['rollbak'], /Did you mean: otactl rollback/],
  [['inst'], /Did you mean: otactl install/],
  [['frobnicate'], /no command 'frobnicate'\.$/],
  [['status', '--jsn'], /no option '--jsn'\. Did you mean: --json/],
  [['status', '--limit', '3'], /'otactl status' takes no --limit/],
  [['status', 'now'], /does not understand 'now'/],
  [['history', '--limit'], /--limit needs a value: COUNT/],
  [['history', '--limit', '--json'], /--limit needs a value/],
  [['history', '--limit', 'many'], /from 1 to 1000, not 'many'/],
  [['history', '--limit', '0'], /from 1 to 1000/],
  [['history', '-n', '1.5'], /whole number/],
  [['status', '--timeout', '-1'], /--timeout needs a value/],
  [['status', '--json=yes'], /--json takes no value/],
  [['undeny'], /needs VERSION/],
  [['help', 'statsu'], /Did you mean/],
  [['__proto__'], /no command/],
  [['status', '--constructor'], /no option/],
];

for (const [args, pattern] of misuses) {
  test(`'otactl ${args.join(' ')}' is wrong usage and says what is wrong`, () => {
    assert.throws(
      () => readArguments(args),
      (error) => error instanceof UsageError && pattern.test(error.message),
    );
  });
}

test('options stand before or behind the command, with = or without', () => {
  const run = { command: 'history', words: [], isJson: true, isYes: false, isWaiting: true, socket: '/s', limit: 7 };
  const plain = { isDryRun: false, isVerbose: false, reason: null };
  const expected = { kind: 'run', invocation: { ...run, ...plain, timeoutMs: 1500 } };
  const lines = ['--json --socket /s history -n 7 --timeout 1.5', 'history --limit=7 --timeout=1.5 --socket=/s --json'];
  for (const line of lines) assert.deepEqual(readArguments(line.split(' ')), expected);
});

test('a reason may be written without quotes, and behind -- may begin with a dash', () => {
  for (const args of [
    ['hold', 'until', '--', '-5', 'degrees'],
    ['hold', '--', 'until', '-5', 'degrees'],
  ]) {
    const request = readArguments(args);
    assert.equal(request.kind === 'run' && request.invocation.words.join(' '), 'until -5 degrees');
  }
});

test('the example of every command is one that otactl accepts', () => {
  for (const name of commandNames) {
    const words = commandDoc(name).example.replace(/ > .*/, '').split(' ').slice(1);
    const request = readArguments(words);
    assert.equal(request.kind === 'run' && request.invocation.command, name);
  }
});

test('general help names every command, and all help fits a serial console of 80 columns', () => {
  for (const name of commandNames) assert.match(generalHelp(), new RegExp(`^ {2}${name} `, 'm'));
  for (const text of [generalHelp(), ...commandNames.map(commandHelp)]) {
    for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
  }
});

test('the help of every command has its options and an example', () => {
  for (const name of commandNames) {
    assert.match(commandHelp(name), /^Example: otactl /m);
    for (const option of commandDoc(name).options)
      assert.ok(commandHelp(name).includes(`--${option}`), `${name} ${option}`);
  }
});
