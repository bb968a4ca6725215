// Small PE files for 64-bit x86 firmware: headers as the format has them, and the sections that a test needs. One with a
// section `.text` is an application that starts at its first byte.

const align = (length: number, to: number): number => Math.ceil(length / to) * to;
const fileAlignment = 512;
const pageBytes = 4096;
const optionalBytes = 240;
const optionalAt = 88;

const codeFlags = 0x60000020;
const dataFlags = 0x40000040;
const efiApplication = 10;

const writeHeaders = (head: Buffer, sections: number, entryPoint: number, imageBytes: number): void => {
  head.write('MZ', 0, 'latin1');
  head.writeUInt32LE(64, 0x3c);
  head.write('PE\0\0', 64, 'latin1');
  head.writeUInt16LE(0x8664, 68);
  head.writeUInt16LE(sections, 70);
  head.writeUInt16LE(optionalBytes, 84);
  head.writeUInt16LE(0x22, 86);
  head.writeUInt16LE(0x20b, optionalAt);
  head.writeUInt32LE(entryPoint, optionalAt + 16);
  head.writeUInt32LE(pageBytes, optionalAt + 20);
  head.writeUInt32LE(pageBytes, optionalAt + 32);
  head.writeUInt32LE(fileAlignment, optionalAt + 36);
  head.writeUInt32LE(imageBytes, optionalAt + 56);
  head.writeUInt32LE(head.length, optionalAt + 60);
  head.writeUInt16LE(efiApplication, optionalAt + 68);
  head.writeUInt32LE(16, optionalAt + 108);
};

export const peImage = (sections: Readonly<Record<string, string | Uint8Array>>): Uint8Array => {
  const bodies = Object.entries(sections).map(([name, body]) => ({ name, body: Buffer.from(body) }));
  const head = Buffer.alloc(align(optionalAt + optionalBytes + bodies.length * 40, fileAlignment));
  let offset = head.length;
  let address = pageBytes;
  let entryPoint = 0;
  bodies.forEach(({ name, body }, index) => {
    const at = optionalAt + optionalBytes + index * 40;
    const isCode = name === '.text';
    if (isCode) entryPoint = address;
    head.write(name, at, 8, 'latin1');
    head.writeUInt32LE(body.length, at + 8);
    head.writeUInt32LE(address, at + 12);
    head.writeUInt32LE(align(body.length, fileAlignment), at + 16);
    head.writeUInt32LE(offset, at + 20);
    head.writeUInt32LE(isCode ? codeFlags : dataFlags, at + 36);
    offset += align(body.length, fileAlignment);
    address += align(Math.max(1, body.length), pageBytes);
  });
  writeHeaders(head, bodies.length, entryPoint, address);
  const padded = bodies.flatMap(({ body }) => [body, Buffer.alloc(align(body.length, fileAlignment) - body.length)]);
  return Buffer.concat([head, ...padded]);
};
