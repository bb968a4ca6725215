// Runs a Node program the way systemd does: with inherited datagram sockets (LISTEN_FDS, LISTEN_FDNAMES) and
// NOTIFY_SOCKET, and collects every datagram in order. Node has no such sockets, so a few lines of Perl hold the other
// ends (perl-base is on every Debian).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Datagram {
  /** Name of the socket, or 'path' for the one that NOTIFY_SOCKET names. */
  readonly name: string;
  readonly bytes: Buffer;
}

export interface DatagramRun {
  readonly datagrams: readonly Datagram[];
  readonly exitCode: number | null;
}

const harness = `
use strict; use warnings; use Socket; use POSIX qw(dup2 :sys_wait_h);
my ($path, $names, @argv) = @ARGV;
my @names = $names eq '' ? () : split(/:/, $names);
my (@near, @far);
for my $n (@names) {
  socketpair(my $a, my $b, AF_UNIX, SOCK_DGRAM, PF_UNSPEC) or die "socketpair: $!";
  push @near, [$n, $a]; push @far, $b;
}
if ($path ne '') {
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_un($path)) or die "bind: $!";
  push @near, ['path', $s]; $ENV{NOTIFY_SOCKET} = $path;
}
my $pid = fork() // die;
if (!$pid) {
  my @high = map { POSIX::dup(fileno($_)) } @far;
  # First out of the way, then to 3, 4, ...: a source must not be overwritten before it is used.
  my $top = 100; my @safe = map { dup2($_, $top); $top++ } @high;
  for my $i (0 .. $#safe) { dup2($safe[$i], 3 + $i); }
  POSIX::close($_) for @safe;
  if (@names) { $ENV{LISTEN_FDS} = @names; $ENV{LISTEN_FDNAMES} = $names; $ENV{LISTEN_PID} = $$; }
  # Node makes its stdout non-blocking, which would be ours as well.
  open(STDOUT, '>', '/dev/null') or die;
  exec @argv or die "exec: $!";
}
$| = 1;
# Passed on, so that the program ends by itself; a deaf one is not waited for.
$SIG{TERM} = sub { kill 'TERM', $pid; alarm 10; };
$SIG{ALRM} = sub { kill 'KILL', $pid; };
my $status;
while (1) {
  my $bits = ''; vec($bits, fileno($_->[1]), 1) = 1 for @near;
  my $ready = select($bits, undef, undef, 0.02);
  for my $n (@near) {
    next unless $ready > 0 && vec($bits, fileno($n->[1]), 1);
    my $data;
    next unless defined recv($n->[1], $data, 1 << 20, MSG_DONTWAIT) && length $data;
    print "$n->[0] ", unpack('H*', $data), "\\n";
  }
  last if defined $status && $ready <= 0;
  $status = ($? & 127) ? 128 + ($? & 127) : $? >> 8 if !defined $status && waitpid($pid, WNOHANG) == $pid;
}
exit $status;
`;

export interface DatagramOptions {
  /** Names of the inherited sockets. */
  readonly names: readonly string[];
  /** Binds this path as NOTIFY_SOCKET. */
  readonly notifyPath?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** For a program that does not end by itself: it gets SIGTERM once these have come, or after `endMs`. */
  readonly end?: { readonly when: (datagrams: readonly Datagram[]) => boolean; readonly endMs: number };
}

/** Runs `node file ...parameters` to its end. */
export const runWithDatagrams = async (
  file: string,
  parameters: readonly string[],
  options: DatagramOptions,
): Promise<DatagramRun> => {
  const argv = [
    '-e',
    harness,
    options.notifyPath ?? '',
    options.names.join(':'),
    process.execPath,
    file,
    ...parameters,
  ];
  const child = spawn('perl', argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, ...options.env },
  });
  const exited = once(child, 'exit');
  const datagrams: Datagram[] = [];
  const { end } = options;
  let isEnding = false;
  const endNow = (): void => {
    if (!isEnding) child.kill('SIGTERM');
    isEnding = true;
  };
  const timer = end === undefined ? undefined : setTimeout(endNow, end.endMs);
  for await (const line of createInterface({ input: child.stdout })) {
    const [name = '', hex = ''] = line.split(' ');
    datagrams.push({ name, bytes: Buffer.from(hex, 'hex') });
    if (end?.when(datagrams)) endNow();
  }
  clearTimeout(timer);
  const [exitCode] = await exited;
  return { datagrams, exitCode: exitCode as number | null };
};
