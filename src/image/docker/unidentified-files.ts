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

/** A file that may be a layer. It is unidentified until a digest or a manifest shows which layer it is. */
export interface UnidentifiedFile {
  path: string;
  mediaType: string;
  /** Bytes. */
  size: number;
}

/** A caller's copy of an unidentified file. One of these methods is called once, while the archive waits. */
export interface FileCopy {
  /**
   * Called if the file is this wanted layer. A compressed layer is verified as a blob, not yet by its diff ID.
   * @param stored undefined if the stream was left before its end
   */
  identified(diffId: Digest, stored: StoredLayer | undefined): Promise<void>;
  /** Called if the file is not a wanted layer. */
  discard(): Promise<void>;
}

/** Copies a file that may be a wanted layer, while the archive waits. The stream may be left early. */
export type CopyFile = (stream: Readable, file: UnidentifiedFile) => Promise<FileCopy>;

interface Waiting {
  copy: FileCopy;
  stored: StoredLayer | undefined;
}

/**
 * Stores files that may be wanted layers until they are identified: an uncompressed file by its own digest, a compressed file by a
 * manifest. Decompression would identify a file at once, but costs a core for every blob of the image, wanted or not (gunzip: 150 to 300
 * MB/s), and Node has no zstd before 22.15. The manifest costs nothing.
 */
export class UnidentifiedFiles {
  readonly #copy: CopyFile;
  readonly #outstanding: Set<Digest>;
  readonly #waiting = new Map<string, Waiting>();
  /** The digests of uncompressed files, by path. */
  readonly #uncompressed = new Map<string, Digest>();

  /** @param outstanding the wanted layers that have not been found; identified layers are removed from it */
  constructor(outstanding: Set<Digest>, copy: CopyFile) {
    this.#outstanding = outstanding;
    this.#copy = copy;
  }

  /** Lets the caller store a file, and identifies it if it is uncompressed. `digest` is the digest in the file's name. */
  async add(chunks: AsyncIterable<Buffer>, file: UnidentifiedFile, digest: Digest | undefined): Promise<void> {
    if (this.#waiting.size === MAX_UNIDENTIFIED) {
      throw new InvalidImage(`the archive has more than ${MAX_UNIDENTIFIED} files before it names its layers`);
    }
    const { path, mediaType, size } = file;
    const expected: Expected = { what: quoted(path), size, digest };
    const copies: FileCopy[] = [];
    const actual = await withVerifiedStream(
      chunks,
      expected,
      async (stream) => void copies.push(await this.#copy(stream, file)),
    );
    const stored = actual && { mediaType, ...actual };
    for (const copy of copies) this.#waiting.set(path, { copy, stored });
    if (stored === undefined || mediaType !== layerMediaType("none")) return;
    this.#uncompressed.set(path, stored.digest);
    await this.identify(path, stored.digest);
  }

  /**
   * Identifies the file at a path as a layer. Does nothing if no file with this path waits.
   * @param blob the layer's descriptor in the manifest
   * @throws InvalidImage if the file is another layer
   */
  async identify(path: string, diffId: Digest, blob?: Descriptor): Promise<void> {
    const actual = this.#uncompressed.get(path);
    if (actual !== undefined && actual !== diffId) throw new InvalidImage(`layer ${diffId} has the digest ${actual}`);
    const file = this.#waiting.get(path);
    if (file === undefined) return;
    this.#waiting.delete(path);
    if (!this.#outstanding.delete(diffId)) return await file.copy.discard();
    await file.copy.identified(diffId, file.stored && described(diffId, file.stored, blob));
  }

  /** Discards all files that are still unidentified. */
  async discardRest(): Promise<void> {
    for (const { copy } of this.#waiting.values()) await copy.discard();
    this.#waiting.clear();
  }
}

/** Sets the media type of a stored layer to that of its descriptor. Throws `InvalidImage` if the two contradict each other. */
function described(diffId: Digest, stored: StoredLayer, blob: Descriptor | undefined): StoredLayer {
  if (blob === undefined) return stored;
  refuseNonLayerType(blob.mediaType);
  if (blob.size === stored.size) return { ...stored, mediaType: blob.mediaType };
  throw new InvalidImage(`layer ${diffId} has ${stored.size} bytes, its descriptor states ${blob.size}`);
}
