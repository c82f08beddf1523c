import type { ArchivedName } from "../archived-name.ts";
import type { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import type { Descriptor } from "../manifest.ts";
import type { Platform } from "../platform.ts";

/** A layer in an archive. */
export interface ArchivedLayer {
  diffId: Digest;
  /**
   * The layer as it is stored, compressed or not. Its media type follows from its first bytes, whatever a manifest says. The digest is
   * left out for a compressed layer in a docker archive that does not name it; the reader learns it (`verifyLayer`).
   */
  blob: { mediaType: string; digest?: Digest; size: number };
  /**
   * Streams the stored bytes. The stream fails with `InvalidImage` at its end when they do not match digest and size. The caller owns
   * it; it may be opened several times, also at once.
   */
  open: () => Readable;
  /**
   * Set for a layer that the archive names but does not hold: a base that the receiver has, or a layer that may not be redistributed and
   * can be downloaded from these URLs (OCI image spec, descriptor.md, `urls`). Reading it fails with `InvalidImage`.
   */
  absent?: { path: string; urls: readonly string[] };
  /**
   * Set for an absent layer of a partial archive that can be rebuilt from a delta base (rebuild/delta-blob.ts): opens the delta, as `open`
   * does a layer. `blob` describes the layer's plain tar.
   */
  delta?: { open: () => Readable };
}

/** The delta base of the layers by delta of a partial archive. */
export interface PartialBase {
  /** A name that it had where the archive is to be read, for messages. */
  name: string;
  /** Of its uppermost layer: it identifies all of its layers. */
  chainId: Digest;
}

/** An image in an archive. Manifest and config are verified; layers are verified when they are read. */
export interface ArchivedImage {
  /** Byte for byte. */
  config: Buffer;
  configDigest: Digest;
  diffIds: Digest[];
  /** `os/architecture[/variant]`, from the config. */
  platform: Platform;
  /** The image's names in the archive: references, or only tags. */
  names: string[];
  /** The stored manifest, only in an OCI layout. The descriptor is without the image's names. */
  manifest?: {
    bytes: Buffer;
    descriptor: Descriptor;
    /** The manifest declares wrong media types for layers: it is useful only to a receiver that keeps it byte for byte. */
    hasWrongMediaTypes?: boolean;
  };
  /** Bottom first: one for each diff ID. */
  layers: ArchivedLayer[];
  /** Set for an image of a partial archive, which lacks the layers that an engine had at that time (ISO 8601). */
  partial?: { listed: string; base?: PartialBase };
}

/** The properties of an image that an archive's index lists. */
export interface ListedImage {
  names: string[];
  /** The manifest's digest, in an OCI layout. */
  digest?: Digest;
  /** Left out when the index names no platform. */
  platform?: Platform;
}

/** The images of an OCI layout by what its index.json names directly. */
export interface ArchivedRoots {
  /** Returns the bytes of the index or manifest with a name, or of the only one. Throws `ImageNotFound`, and `InvalidImage`. */
  read(name?: ArchivedName): Promise<Buffer>;
  /** Returns those of the blobs that are there in this size. Nothing is read. */
  present(blobs: readonly Descriptor[]): Promise<Set<Digest>>;
  /** Reads a whole small blob, verified; undefined when it is not there. Throws `InvalidImage`. */
  readSmall(blob: Descriptor, max: number): Promise<Buffer | undefined>;
  /** Streams a blob. The stream fails with `InvalidImage` at its end when the bytes are not the blob's. The caller owns it. */
  open(blob: Descriptor): Readable;
}

/** An open file or folder that holds images. Close it when nothing of it is read any more. */
export interface ImageArchive extends AsyncDisposable {
  list(): ListedImage[];
  /**
   * Finds the image of this name and platform. Either may be left out if the archive has only one choice. A
   * name matches an image's own name, an equal reference, or a tag that the archive has without a repository.
   *
   * Throws `ImageNotFound` when no image or several match, `InvalidImage` when the image is not what the archive says.
   */
  find(name?: ArchivedName, platform?: Platform): Promise<ArchivedImage>;
  /** The image with all of its platforms, as it is stored. Left out by an archive of another format than OCI's. */
  roots?: ArchivedRoots;
  /** It lacks layers that an engine elsewhere has (partial/partial-image.ts). */
  isPartial?: boolean;
  close(): Promise<void>;
}
