import { MAX_CONTENTS, MAX_COUNT } from "./exchange-messages.ts";

/** Groups the contents of pieces into batches for `pieces` messages. */
export async function* batchPieces(
  contents: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let bytes = 0;
  for await (const content of contents) {
    if (bytes + content.length > MAX_CONTENTS || batch.length === MAX_COUNT) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(content);
    bytes += content.length;
  }
  if (batch.length > 0) yield batch;
}
