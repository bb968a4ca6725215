// A small PE file with the sections that a test needs: headers as the PE format has them, no code. For the loader's reading
// of unified kernel images; nothing can start it.

const align = (length: number): number => Math.ceil(length / 512) * 512;

/** `virtualSize`: of a section that claims to be larger than its bytes. */
export const peImage = (sections: Readonly<Record<string, string>>): Uint8Array => {
  const names = Object.keys(sections);
  const bodies = names.map((name) => Buffer.from(sections[name] ?? '', 'utf8'));
  const optionalBytes = 240;
  const headBytes = align(64 + 24 + optionalBytes + names.length * 40);
  const head = Buffer.alloc(headBytes);
  head.write('MZ', 0, 'latin1');
  head.writeUInt32LE(64, 0x3c);
  head.write('PE\0\0', 64, 'latin1');
  head.writeUInt16LE(0x8664, 68);
  head.writeUInt16LE(names.length, 70);
  head.writeUInt16LE(optionalBytes, 84);
  head.writeUInt16LE(0x22, 86);
  const optional = 88;
  head.writeUInt16LE(0x20b, optional);
  head.writeUInt32LE(0x1000, optional + 32);
  head.writeUInt32LE(512, optional + 36);
  head.writeUInt16LE(10, optional + 68);
  head.writeUInt32LE(16, optional + 108);
  let offset = headBytes;
  let address = 0x1000;
  bodies.forEach((body, index) => {
    const at = optional + optionalBytes + index * 40;
    head.write(names[index] ?? '', at, 8, 'latin1');
    head.writeUInt32LE(body.length, at + 8);
    head.writeUInt32LE(address, at + 12);
    head.writeUInt32LE(align(body.length), at + 16);
    head.writeUInt32LE(offset, at + 20);
    head.writeUInt32LE(0x40000040, at + 36);
    offset += align(body.length);
    address += Math.ceil(Math.max(1, body.length) / 0x1000) * 0x1000;
  });
  head.writeUInt32LE(address, optional + 56);
  head.writeUInt32LE(headBytes, optional + 60);
  return Buffer.concat([
    head,
    ...bodies.map((body) => Buffer.concat([body, Buffer.alloc(align(body.length) - body.length)])),
  ]);
};
