import type { Digest } from "../image/digest.ts";
import { addRebuilder } from "../rebuild/add-rebuilder.ts";
import type { DeltaBases } from "../rebuild/delta-bases.ts";
import type { Spool } from "../run/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { fetchLayers } from "./fetch-layers.ts";
import type { ImageMetadata } from "./read-image-metadata.ts";
import type { ReceiveOptions } from "./receive-options.ts";
import { requestLayers } from "./request-layers.ts";

/** The manifest, config and missing layers of an image. */
export interface FetchedImage extends ImageMetadata {
  /** The wanted layers, bottom first. */
  files: LayerFile[];
  /** The plain bytes of these layers that were found in delta bases. */
  bytesFound: number;
}

/**
 * Fetches missing layers into files of the spool, and verifies them. Layers that the sender can cut may be rebuilt from delta bases.
 *
 * @param wanted diff IDs, bottom first
 */
export async function fetchImage(
  options: ReceiveOptions,
  wanted: readonly Digest[],
  spool: Spool,
  deltaBases: DeltaBases | undefined,
): Promise<FetchedImage> {
  using requested = await requestLayers(options, wanted, deltaBases);
  // An archive or a layout stores the files unchanged, without unpacking them.
  const choice = requested.deltaChoice({ reads: deltaBases?.reads ?? "files", takesIn: undefined });
  await using rebuilder = addRebuilder(requested.fetch, requested.cuttable, {
    deltaBases,
    spool: { open: async () => spool },
    choice,
    onDetail: (detail) => options.output.detail(detail),
  });
  const fetched = new Map<Digest, LayerFile>();
  for await (const file of fetchLayers(requested.layers, wanted, spool, rebuilder.fetch))
    fetched.set(file.diffId, file);
  const files = wanted.flatMap((diffId) => fetched.get(diffId) ?? []);
  return { files, bytesFound: rebuilder.bytesFound(), ...(await requested.metadata()) };
}
