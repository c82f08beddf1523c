import type { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import type { Descriptor } from "../manifest.ts";

/** A layer in an archive. */
export interface ArchivedLayer {
  diffId: Digest;
  /**
   * As it is stored, packed or not; the media type is that of its first bytes, whatever a manifest says. A docker archive says nothing of the digest of a packed layer: it is left out then, and
   * known to whoever reads it ({@link checkLayer} in check-layer.ts).
   */
  blob: { mediaType: string; digest?: Digest; size: number };
  /**
   * The stored bytes. Fails with `InvalidImage` at their end when they are not of that digest and size. Whoever opens it
   * owns the stream; it may be opened several times, also at once.
   */
  open: () => Readable;
  /**
   * The archive names it and does not hold it: a base that whoever receives the image has, or a layer that may not be passed on and
   * is to be had at these URLs (OCI image spec, descriptor.md, `urls`). Reading it fails with `InvalidImage`.
   */
  absent?: { path: string; urls: readonly string[] };
}

/** An image in an archive: proven but for its layers, which are when they are read. */
export interface ArchivedImage {
  /** Byte for byte. */
  config: Buffer;
  configDigest: Digest;
  diffIds: Digest[];
  /** `os/architecture[/variant]`, of the config. */
  platform: string;
  /** As the archive has them: references, or only tags. */
  names: string[];
  /** As stored, in an OCI layout. The descriptor is without the names. */
  manifest?: {
    bytes: Buffer;
    descriptor: Descriptor;
    /** It gives layers other media types than they have: of use only to whoever is to keep it as it is. */
    hasWrongMediaTypes?: boolean;
  };
  /** Bottom first: one for each diff ID. */
  layers: ArchivedLayer[];
}

/** What is known of an image without reading it. */
export interface ListedImage {
  names: string[];
  /** Of its manifest, in an OCI layout. */
  digest?: Digest;
  /** Where the index says it. */
  platform?: string;
}

/** A file or folder that holds images, open. Close it when nothing of it is read any more. */
export interface ImageArchive extends AsyncDisposable {
  list(): ListedImage[];
  /**
   * The image of that name and platform (`os/architecture[/variant]`). What is left out must be clear without it. A name is
   * one that the archive has, an equal reference, or a reference with a tag that the archive has.
   *
   * Throws `ImageNotFound` when there is none or more than one, `InvalidImage` when it is not what the archive says.
   */
  find(reference?: string, platform?: string): Promise<ArchivedImage>;
  close(): Promise<void>;
}
