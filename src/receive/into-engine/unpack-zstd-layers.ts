import { createReadStream, createWriteStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { decompressLayer } from "../../image/layer/decompress-layer.ts";
import { digestVerifier } from "../../image/layer/verify-digest.ts";
import { hexOf } from "../../image/digest.ts";
import { refuseWithoutSpoolSpace, type LazySpool } from "../../run/spool.ts";
import type { IncomingLayer } from "../incoming-layer.ts";
import { passThroughVerifier } from "../../image/layer/verified-stream.ts";
import { sizeLimit, type SizeLimit } from "../../image/layer/size-limit.ts";

/**
 * Decompresses layers that are compressed with zstd, which engines up to Docker 20.10 cannot read. Writes such a layer to the spool,
 * because the header of a tar needs its size. Passes other layers unchanged.
 *
 * @param limit the limit against which the layers count
 */
export async function* unpackZstdLayers(
  layers: AsyncGenerator<IncomingLayer>,
  spool: LazySpool,
  limit: Pick<SizeLimit, "left">,
): AsyncGenerator<IncomingLayer> {
  for await (const layer of layers) {
    if (!layer.blob.mediaType.endsWith("zstd")) {
      yield layer;
      continue;
    }
    const folder = await spool.open();
    await refuseWithoutSpoolSpace(folder, layer.size);
    const path = folder.pathFor(`${hexOf(layer.diffId)}.tar`);
    // The verification of the stream counts bytes as well, but lags by up to 128 kB of compressed data, which may expand to gigabytes.
    const plain = digestVerifier({ what: `the uncompressed layer ${layer.diffId}`, limit: sizeLimit(limit.left) });
    const tar = decompressLayer(await layer.open());
    await pipeline(passThroughVerifier(tar, plain), createWriteStream(path, { flags: "wx", mode: 0o600 }));
    const { size } = await stat(path);
    const open = async () => createReadStream(path).once("close", () => void rm(path, { force: true }));
    yield { ...layer, size, open };
  }
}
