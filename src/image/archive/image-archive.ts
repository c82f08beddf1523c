import type { ArchivedName } from "../archived-name.ts";
import type { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import type { Descriptor } from "../manifest.ts";
import type { Platform } from "../platform.ts";

/** A layer in an archive. */
export interface ArchivedLayer {
  diffId: Digest;
  /**
   * The layer as it is stored, compressed or not. The media type is determined by the first bytes, not by a manifest. The digest is
   * undefined for a compressed layer in a docker archive without it; reading the layer computes it (`verifyLayer`).
   */
  blob: { mediaType: string; digest?: Digest; size: number };
  /**
   * Streams the stored bytes. The stream fails with `InvalidImage` at its end if they do not match digest and size. The caller owns it.
   * Several streams may be open at the same time.
   */
  open: () => Readable;
  /**
   * Set for a layer that the archive names but does not contain: a base that the receiver has, or a layer that may not be redistributed and
   * can be downloaded from these URLs (OCI image spec, descriptor.md, `urls`). Reading it fails with `InvalidImage`.
   */
  absent?: { path: string; urls: readonly string[] };
  /**
   * Set for an absent layer of a partial archive that can be rebuilt from a delta base (rebuild/delta-blob.ts): opens the delta in the way
   * in which `open` opens a layer. `blob` describes the layer's plain tar.
   */
  delta?: { open: () => Readable };
}

/** The delta base of a partial archive, for all its layers by delta. */
export interface PartialBase {
  /** A name that it had in the engine that will read the archive, for messages. */
  name: string;
  /** The chain ID of its uppermost layer, which identifies all of its layers. */
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
  /** The stored manifest, only in an OCI layout. The descriptor does not contain the image's names. */
  manifest?: {
    bytes: Buffer;
    descriptor: Descriptor;
    /** Whether the manifest declares wrong media types for layers. It is useful only to a receiver that preserves it byte for byte. */
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
  /** Undefined if the index names no platform. */
  platform?: Platform;
}

/** The images that the index.json of an OCI layout names directly. */
export interface ArchivedRoots {
  /** Returns the bytes of the index or manifest with a name; without a name, of the only one. Throws `ImageNotFound` and `InvalidImage`. */
  read(name?: ArchivedName): Promise<Buffer>;
  /** Returns the blobs that exist with the right size. Reads no blob. */
  present(blobs: readonly Descriptor[]): Promise<Set<Digest>>;
  /** Reads and verifies a whole small blob. Returns undefined if it does not exist. Throws `InvalidImage`. */
  readSmall(blob: Descriptor, max: number): Promise<Buffer | undefined>;
  /** Streams a blob. The stream fails with `InvalidImage` at its end if the bytes do not match the descriptor. The caller owns it. */
  open(blob: Descriptor): Readable;
}

/** An open file or folder that holds images. Close it only after all reading has ended. */
export interface ImageArchive extends AsyncDisposable {
  list(): ListedImage[];
  /**
   * Finds the image with this name and platform. Both are optional if the archive has only one choice. A name matches the verbatim name of
   * an image, an equal reference, or a tag that the archive has without a repository.
   *
   * Throws `ImageNotFound` if no image or several images match, and `InvalidImage` if the image contradicts the archive's metadata.
   */
  find(name?: ArchivedName, platform?: Platform): Promise<ArchivedImage>;
  /** The images with all of their platforms. Defined only for OCI archives and layouts. */
  roots?: ArchivedRoots;
  /** Whether it lacks layers that the receiving engine has (partial/partial-image.ts). */
  isPartial?: boolean;
  close(): Promise<void>;
}
