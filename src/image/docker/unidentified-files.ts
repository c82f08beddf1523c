import type { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import { type Descriptor } from "../manifest.ts";
import { layerMediaType, refuseNonLayerType } from "../layer/compression.ts";
import { quoted } from "../tar/entry-path.ts";
import { withVerifiedStream } from "../layer/verified-stream.ts";
import { MAX_UNIDENTIFIED } from "../archive/limits.ts";
import type { Expected } from "../layer/verify-digest.ts";
import { InvalidImage } from "../invalid-image.ts";

/** A layer as it is in the archive. */
export interface StoredLayer {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
}

/** A file that may be a layer: which, is known later. */
export interface UnidentifiedFile {
  path: string;
  mediaType: string;
  /** Bytes. */
  size: number;
}

/** What somebody keeps of an archive until it is known what it is. One of these is called, once, while the archive waits. */
export interface KeptFile {
  /**
   * It is this layer, which is wanted. A packed one is proven as a blob, not yet by its diff ID.
   * @param stored undefined when the stream was left before its end
   */
  identified(diffId: Digest, stored: StoredLayer | undefined): Promise<void>;
  /** It is none that is wanted. */
  discard(): Promise<void>;
}

/** Takes a file that may be a wanted layer, while the archive waits. The stream may be left early. */
export type KeepFile = (stream: Readable, file: UnidentifiedFile) => Promise<KeptFile>;

interface Waiting {
  kept: KeptFile;
  stored: StoredLayer | undefined;
}

/**
 * The files of an archive that may be layers, until something tells which: a plain one its own digest, a packed one a manifest.
 * To unpack each instead would tell it at once, but cost a core for every blob of the image, wanted or not (gunzip 150 to 300 MB/s),
 * and cannot be done to zstd before Node 22.15; the manifest comes for nothing.
 */
export class UnidentifiedFiles {
  readonly #keep: KeepFile;
  readonly #open: Set<Digest>;
  readonly #waiting = new Map<string, Waiting>();
  /** What plain files were. */
  readonly #plain = new Map<string, Digest>();

  /** @param open the layers that are wanted still; those that are told are taken out of it */
  constructor(open: Set<Digest>, keep: KeepFile) {
    this.#open = open;
    this.#keep = keep;
  }

  async add(chunks: AsyncIterable<Buffer>, file: UnidentifiedFile, digest: Digest | undefined): Promise<void> {
    if (this.#waiting.size === MAX_UNIDENTIFIED) {
      throw new InvalidImage(
        `the archive has more than ${MAX_UNIDENTIFIED} files before it tells which of them are layers`,
      );
    }
    const { path, mediaType, size } = file;
    const expected: Expected = { what: quoted(path), size, digest };
    const kept: KeptFile[] = [];
    const found = await withVerifiedStream(
      chunks,
      expected,
      async (stream) => void kept.push(await this.#keep(stream, file)),
    );
    const stored = found && { mediaType, ...found };
    for (const one of kept) this.#waiting.set(path, { kept: one, stored });
    if (stored === undefined || mediaType !== layerMediaType("none")) return;
    this.#plain.set(path, stored.digest);
    await this.identify(path, stored.digest);
  }

  /** A file is this layer; `blob` is what the manifest says of it. Throws `InvalidImage` when it is not. */
  async identify(path: string, diffId: Digest, blob?: Descriptor): Promise<void> {
    const plain = this.#plain.get(path);
    if (plain !== undefined && plain !== diffId) throw new InvalidImage(`layer ${diffId} has the digest ${plain}`);
    const file = this.#waiting.get(path);
    if (file === undefined) return;
    this.#waiting.delete(path);
    if (!this.#open.delete(diffId)) return await file.kept.discard();
    await file.kept.identified(diffId, file.stored && described(diffId, file.stored, blob));
  }

  /** All others are none that is wanted. */
  async discardRest(): Promise<void> {
    for (const { kept } of this.#waiting.values()) await kept.discard();
    this.#waiting.clear();
  }
}

function described(diffId: Digest, stored: StoredLayer, blob: Descriptor | undefined): StoredLayer {
  if (blob === undefined) return stored;
  refuseNonLayerType(blob.mediaType);
  if (blob.size === stored.size) return { ...stored, mediaType: blob.mediaType };
  throw new InvalidImage(`layer ${diffId} has ${stored.size} bytes, and ${blob.size} by its manifest`);
}
