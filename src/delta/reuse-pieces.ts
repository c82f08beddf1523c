import { cutTar } from "./cut-tar.ts";
import { PieceKeyFilter } from "./piece-key-filter.ts";
import { pieceKeyOf } from "./piece-key.ts";
import type { TarRebuild } from "./tar-rebuild.ts";

/** The recipe is read this many bytes ahead of the older tar: files and their offsets differ between versions. */
const AHEAD = 16 * 1024 * 1024;

/**
 * Reuses the pieces of an older tar while the recipe is still arriving. Reads the tar {@link AHEAD} bytes behind the recipe, because
 * versions mostly have the same files in the same order. Stops early if nothing is missing, if the recipe fails, or if the tar is much
 * longer than the layer, so that it must belong to another layer. Returns the keys of the pieces that were read before the recipe named
 * them: a second read of the tar finds those.
 *
 * @param onRead receives the bytes of the tar read so far; it may throw to stop
 */
export async function reusePiecesAlongRecipe(
  tar: AsyncIterable<Uint8Array>,
  rebuild: TarRebuild,
  onRead: (bytes: number) => void = () => {},
): Promise<PieceKeyFilter> {
  const unused = new PieceKeyFilter();
  let at = 0;
  for await (const batch of cutTar(tar)) {
    await rebuild.recipeReaches(at + AHEAD);
    if (rebuild.hasFailed || (rebuild.isRecipeRead && at > 2 * rebuild.size + AHEAD)) break;
    for (const { kind, bytes } of batch) {
      at += bytes.length;
      if (kind !== "content") continue;
      const key = pieceKeyOf(bytes);
      if (!rebuild.offer(key, bytes)) unused.add(key);
    }
    await rebuild.flush();
    onRead(at);
    if (rebuild.isRecipeRead && rebuild.missing.pieces === 0) break;
  }
  return unused;
}

/**
 * Cuts the tar of a layer, or of part of an image, and offers its pieces to a rebuild whose recipe has been read. Returns at the end of
 * the tar, or when nothing is missing; in that case it closes the tar's iterator.
 */
export async function reusePieces(tar: AsyncIterable<Uint8Array>, rebuild: TarRebuild): Promise<void> {
  if (rebuild.missing.pieces === 0) return;
  for await (const batch of cutTar(tar)) {
    for (const { kind, bytes } of batch) {
      if (kind === "content" && rebuild.mayNeed(bytes.length)) rebuild.offer(pieceKeyOf(bytes), bytes);
    }
    await rebuild.flush();
    if (rebuild.missing.pieces === 0) return;
  }
}
