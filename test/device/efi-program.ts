// A program for 64-bit x86 EFI firmware in a few dozen bytes: sets variables, prints a line, resets. It stands for a kernel
// where only the loader is under test; a machine that starts it is up in the time that the firmware takes.

import { peImage } from '../bootctl/systemd-boot/pe-image.ts';

/** EFI_RESET_TYPE. */
const resetTypes = { cold: 0, shutdown: 2 } as const;
/** LoaderEntryOneShot and its like, in the byte order of EFI_GUID. */
const loaderVendor = Buffer.from('82b0674a4c0acf41b6c7440b29bb8c4f', 'hex');
const volatileOrNot = 7;
const align = (length: number, to: number): number => Math.ceil(length / to) * to;

export interface EfiProgram {
  readonly line: string;
  readonly reset: keyof typeof resetTypes;
  /** Variables of the loader to set first, kept over a reset. */
  readonly variables?: Readonly<Record<string, string>>;
}

const utf16 = (text: string): Buffer => Buffer.from(`${text}\0`, 'utf16le');

/** Code, then data; `refer` leaves four bytes that get the distance to a piece of data. */
const assemble = ({ line, reset, variables = {} }: EfiProgram): Buffer => {
  const code: number[] = [];
  const data: Buffer[] = [];
  const references: { readonly at: number; readonly piece: number }[] = [];
  const emit = (...bytes: readonly number[]): void => {
    code.push(...bytes);
  };
  const word = (value: number): readonly number[] => [...Buffer.from(Uint32Array.of(value).buffer)];
  const refer = (piece: Buffer): void => {
    references.push({ at: code.length, piece: data.push(piece) - 1 });
    emit(0, 0, 0, 0);
  };
  emit(0x48, 0x83, 0xec, 0x28); // sub rsp, 40: what a callee may use, and a fifth argument
  emit(0x48, 0x89, 0xd3); // mov rbx, rdx: the system table
  for (const [name, value] of Object.entries(variables)) {
    emit(0x48, 0x8b, 0x43, 0x58); // mov rax, [rbx + 88]: runtime services
    emit(0x48, 0x8d, 0x0d); // lea rcx, name
    refer(utf16(name));
    emit(0x48, 0x8d, 0x15); // lea rdx, vendor
    refer(loaderVendor);
    emit(0x41, 0xb8, ...word(volatileOrNot)); // mov r8d, attributes
    emit(0x41, 0xb9, ...word(utf16(value).length)); // mov r9d, size
    emit(0x4c, 0x8d, 0x15); // lea r10, value
    refer(utf16(value));
    emit(0x4c, 0x89, 0x54, 0x24, 0x20); // mov [rsp + 32], r10
    emit(0xff, 0x50, 0x58); // call [rax + 88]: SetVariable
  }
  emit(0x48, 0x8b, 0x4b, 0x40); // mov rcx, [rbx + 64]: the console
  emit(0x48, 0x8d, 0x15); // lea rdx, line
  refer(utf16(`${line}\r\n`));
  emit(0xff, 0x51, 0x08); // call [rcx + 8]: OutputString
  emit(0x48, 0x8b, 0x43, 0x58); // mov rax, [rbx + 88]
  emit(0xb9, ...word(resetTypes[reset])); // mov ecx, type
  emit(0x31, 0xd2, 0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9); // no status, no data
  emit(0xff, 0x50, 0x68); // call [rax + 104]: ResetSystem
  emit(0xeb, 0xfe); // for ever
  const starts: number[] = [];
  let end = align(code.length, 8);
  for (const piece of data) {
    starts.push(end);
    end += align(piece.length, 8);
  }
  const bytes = Buffer.alloc(end);
  Buffer.from(code).copy(bytes);
  data.forEach((piece, index) => void piece.copy(bytes, starts[index]));
  for (const { at, piece } of references) bytes.writeInt32LE((starts[piece] ?? 0) - (at + 4), at);
  return bytes;
};

/** As an EFI application. */
export const efiProgram = (program: EfiProgram): Uint8Array => peImage({ '.text': assemble(program) });
