// Memory that O_DIRECT accepts. Buffers of Node begin anywhere; a WebAssembly memory begins at a page.

declare const WebAssembly: {
  readonly Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

const wasmPageBytes = 65_536;

/** Page-aligned bytes, zero, given back to the system when the garbage collector finds them. */
export const allocateAligned = (lengthBytes: number): Uint8Array => {
  const pages = Math.ceil(lengthBytes / wasmPageBytes);
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer, 0, lengthBytes);
};
