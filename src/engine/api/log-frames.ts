/** Bytes of a frame's header: stream (1 byte), three zeros, length (4 bytes, big-endian). See the Engine API, `ContainerAttach`. */
const HEADER = 8;

/**
 * Returns the end of the output of a container without a terminal, stdout and stderr in the order of their arrival.
 *
 * @param maxBytes the maximum size of the result. Needs memory for that and one chunk
 */
export async function endOfLog(chunks: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  let end = Buffer.alloc(0);
  let header = Buffer.alloc(0);
  let left = 0; // bytes of the current frame
  for await (let chunk of chunks) {
    while (chunk.length > 0) {
      if (left === 0) {
        const missing = HEADER - header.length;
        header = Buffer.concat([header, chunk.subarray(0, missing)]);
        chunk = chunk.subarray(missing);
        if (header.length < HEADER) continue;
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
      }
      const part = chunk.subarray(0, left);
      end = Buffer.concat([end, part]).subarray(-maxBytes);
      left -= part.length;
      chunk = chunk.subarray(part.length);
    }
  }
  return end.toString("utf8");
}
