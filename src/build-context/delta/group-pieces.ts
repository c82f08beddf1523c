import { MAX_CONTENTS, MAX_COUNT } from "./exchange-messages.ts";

/** Groups the contents of pieces for `pieces` messages. */
export async function* groupPieces(
  contents: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array[]> {
  let group: Uint8Array[] = [];
  let bytes = 0;
  for await (const content of contents) {
    if (bytes + content.length > MAX_CONTENTS || group.length === MAX_COUNT) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(content);
    bytes += content.length;
  }
  if (group.length > 0) yield group;
}
