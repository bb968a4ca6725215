// Completion scripts, made from the table of commands. Pure.

import { globalOptions, options } from './options.ts';
import { type CommandName, commandDoc, commandNames } from './usage.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];
export const isShell = (word: string): word is Shell => (shells as readonly string[]).includes(word);

const flagsOf = (name: CommandName): string[] =>
  [...commandDoc(name).options, ...globalOptions].map((flag) => `--${flag}`);

const bash = (): string => `# bash completion for otactl
_otactl() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="" each
  for each in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$each" in -*) ;; *) command="$each"; break ;; esac
  done
  case "$before" in
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --timeout|--limit|-n) return ;;
  esac
  case "$command" in
    "") mapfile -t COMPREPLY < <(compgen -W "${[...commandNames, 'help'].join(' ')} ${globalOptions.map((flag) => `--${flag}`).join(' ')}" -- "$word") ;;
    completion) mapfile -t COMPREPLY < <(compgen -W "${shells.join(' ')}" -- "$word") ;;
    help) mapfile -t COMPREPLY < <(compgen -W "${commandNames.join(' ')}" -- "$word") ;;
${commandNames
  .filter((name) => name !== 'completion')
  .map((name) => `    ${name}) mapfile -t COMPREPLY < <(compgen -W "${flagsOf(name).join(' ')}" -- "$word") ;;`)
  .join('\n')}
  esac
}
complete -F _otactl otactl
`;

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const zsh = (): string => `#compdef otactl
_otactl() {
  local -a commands=(
${commandNames.map((name) => `    ${quoted(`${name}:${commandDoc(name).summary}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case "$words[2]" in
    completion) compadd ${shells.join(' ')} ;;
    help) compadd ${commandNames.join(' ')} ;;
${commandNames
  .filter((name) => name !== 'completion')
  .map((name) => `    ${name}) compadd -- ${flagsOf(name).join(' ')} ;;`)
  .join('\n')}
  esac
}
if [ "$funcstack[1]" = _otactl ]; then _otactl "$@"; else compdef _otactl otactl; fi
`;

const fish = (): string =>
  [
    '# fish completion for otactl',
    'complete -c otactl -f',
    ...commandNames.map(
      (name) => `complete -c otactl -n __fish_use_subcommand -a ${name} -d ${quoted(commandDoc(name).summary)}`,
    ),
    ...globalOptions.map(
      (flag) =>
        `complete -c otactl -l ${flag}${options[flag].value === null ? '' : ' -r'} -d ${quoted(options[flag].text)}`,
    ),
    ...commandNames.flatMap((name) =>
      commandDoc(name).options.map(
        (flag) =>
          `complete -c otactl -n '__fish_seen_subcommand_from ${name}' -l ${flag}${options[flag].value === null ? '' : ' -r'} -d ${quoted(options[flag].text)}`,
      ),
    ),
    `complete -c otactl -n '__fish_seen_subcommand_from completion' -a '${shells.join(' ')}'`,
    '',
  ].join('\n');

const scripts: Readonly<Record<Shell, () => string>> = { bash, zsh, fish };

export const completionScript = (shell: Shell): string => scripts[shell]();
