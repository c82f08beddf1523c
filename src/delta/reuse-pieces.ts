import { cut } from "./cut-tar.ts";
import { PieceKeyFilter } from "./piece-key-filter.ts";
import { pieceKeyOf } from "./piece-key.ts";
import type { TarRebuild } from "./tar-rebuild.ts";

/** Bytes that the recipe is to be ahead of what is taken along: versions differ, and so do the places of the same file in them. */
const AHEAD = 16 * 1024 * 1024;

/**
 * The same as {@link reusePieces}, while the recipe is still being read: the tar is read behind it, for much the same files stand in
 * it in the same order. What passes before it is wanted is noted, and can be had by reading the tar again. One that is much longer
 * than the layer is another one's: it is left. `onRead` is told how many bytes of it have been read, and may throw.
 */
export async function reusePiecesAlongRecipe(
  tar: AsyncIterable<Uint8Array>,
  rebuild: TarRebuild,
  onRead: (bytes: number) => void = () => {},
): Promise<PieceKeyFilter> {
  const passed = new PieceKeyFilter();
  let at = 0;
  for await (const batch of cut(tar)) {
    await rebuild.told(at + AHEAD);
    if (rebuild.hasFailed || (rebuild.isRead && at > 2 * rebuild.size + AHEAD)) break;
    for (const { kind, bytes } of batch) {
      at += bytes.length;
      if (kind !== "content") continue;
      const key = pieceKeyOf(bytes);
      if (!rebuild.offer(key, bytes)) passed.note(key);
    }
    await rebuild.flush();
    onRead(at);
    if (rebuild.isRead && rebuild.left.pieces === 0) break;
  }
  return passed;
}

/**
 * Cuts a tar, a layer's or a part of an image, and gives its contents to a rebuild that misses them. Returns when it is at its end,
 * or nothing is missing; then it leaves the tar's iterator.
 */
export async function reusePieces(tar: AsyncIterable<Uint8Array>, rebuild: TarRebuild): Promise<void> {
  if (rebuild.left.pieces === 0) return;
  for await (const batch of cut(tar)) {
    for (const { kind, bytes } of batch) {
      if (kind === "content" && rebuild.mayWant(bytes.length)) rebuild.offer(pieceKeyOf(bytes), bytes);
    }
    await rebuild.flush();
    if (rebuild.left.pieces === 0) return;
  }
}
