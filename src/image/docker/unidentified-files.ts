import type { Readable } from "node:stream";
import { MAX_UNIDENTIFIED } from "../archive/limits.ts";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { layerMediaType, refuseNonLayerType } from "../layer/compression.ts";
import { withVerifiedStream } from "../layer/verified-stream.ts";
import type { Expected } from "../layer/verify-digest.ts";
import type { Descriptor } from "../manifest.ts";
import { quoted } from "../tar/entry-path.ts";

/** A layer as the archive stores it. */
export interface StoredLayer {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
}

/** A file that may be a layer. It is unidentified until a digest or a manifest shows which one. */
export interface UnidentifiedFile {
  path: string;
  mediaType: string;
  /** Bytes. */
  size: number;
}

/** A caller's copy of an unidentified file. One of these is called, once, while the archive waits. */
export interface KeptFile {
  /**
   * The file is this wanted layer. A compressed one is verified as a blob, not yet by its diff ID.
   * @param stored undefined when the stream was left before its end
   */
  identified(diffId: Digest, stored: StoredLayer | undefined): Promise<void>;
  /** The file is no wanted layer. */
  discard(): Promise<void>;
}

/** Copies a file that may be a wanted layer, while the archive waits. The stream may be left early. */
export type KeepFile = (stream: Readable, file: UnidentifiedFile) => Promise<KeptFile>;

interface Waiting {
  kept: KeptFile;
  stored: StoredLayer | undefined;
}

/**
 * Keeps files that may be wanted layers until they are identified: an uncompressed one by its own digest, a compressed one by a
 * manifest. Decompressing would identify it at once, but costs a core for every blob of the image, wanted or not (gunzip 150 to 300 MB/s),
 * and Node has no zstd before 22.15; the manifest costs nothing.
 */
export class UnidentifiedFiles {
  readonly #keep: KeepFile;
  readonly #outstanding: Set<Digest>;
  readonly #waiting = new Map<string, Waiting>();
  /** The digests of uncompressed files, by path. */
  readonly #uncompressed = new Map<string, Digest>();

  /** @param outstanding the wanted layers that have not been found; those that are identified are removed from it */
  constructor(outstanding: Set<Digest>, keep: KeepFile) {
    this.#outstanding = outstanding;
    this.#keep = keep;
  }

  /** Has a file kept, and identifies it if it is uncompressed. `digest` is the one in the file's name. */
  async add(chunks: AsyncIterable<Buffer>, file: UnidentifiedFile, digest: Digest | undefined): Promise<void> {
    if (this.#waiting.size === MAX_UNIDENTIFIED) {
      throw new InvalidImage(`the archive has more than ${MAX_UNIDENTIFIED} files before it names its layers`);
    }
    const { path, mediaType, size } = file;
    const expected: Expected = { what: quoted(path), size, digest };
    const kept: KeptFile[] = [];
    const actual = await withVerifiedStream(
      chunks,
      expected,
      async (stream) => void kept.push(await this.#keep(stream, file)),
    );
    const stored = actual && { mediaType, ...actual };
    for (const one of kept) this.#waiting.set(path, { kept: one, stored });
    if (stored === undefined || mediaType !== layerMediaType("none")) return;
    this.#uncompressed.set(path, stored.digest);
    await this.identify(path, stored.digest);
  }

  /**
   * Identifies the file at a path as a layer. Does nothing for a path that no file waits at.
   * @param blob the layer's descriptor in the manifest
   * @throws InvalidImage when the file is another layer
   */
  async identify(path: string, diffId: Digest, blob?: Descriptor): Promise<void> {
    const actual = this.#uncompressed.get(path);
    if (actual !== undefined && actual !== diffId) throw new InvalidImage(`layer ${diffId} has the digest ${actual}`);
    const file = this.#waiting.get(path);
    if (file === undefined) return;
    this.#waiting.delete(path);
    if (!this.#outstanding.delete(diffId)) return await file.kept.discard();
    await file.kept.identified(diffId, file.stored && described(diffId, file.stored, blob));
  }

  /** Discards all files that are still unidentified. */
  async discardRest(): Promise<void> {
    for (const { kept } of this.#waiting.values()) await kept.discard();
    this.#waiting.clear();
  }
}

/** Gives a stored layer the media type of its descriptor. Throws `InvalidImage` when the two contradict each other. */
function described(diffId: Digest, stored: StoredLayer, blob: Descriptor | undefined): StoredLayer {
  if (blob === undefined) return stored;
  refuseNonLayerType(blob.mediaType);
  if (blob.size === stored.size) return { ...stored, mediaType: blob.mediaType };
  throw new InvalidImage(`layer ${diffId} has ${stored.size} bytes, its descriptor says ${blob.size}`);
}
