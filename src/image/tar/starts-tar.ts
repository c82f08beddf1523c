const BLOCK = 512;

/** Verifies the checksum of a tar's first header (pax(1), "ustar Interchange Format"). */
export function startsTar(start: Buffer): boolean {
  if (start.length < BLOCK) return false;
  const block = start.subarray(0, BLOCK);
  const declared = Number.parseInt(block.toString("latin1", 148, 156).trim(), 8);
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  return declared === sum;
}
