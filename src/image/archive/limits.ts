import { MAX_LAYERS } from "../manifest.ts";

/**
 * Limits of an archive: far above the archives that engines write, and low enough to bound the memory and time that a hostile archive
 * costs. The limits of manifests, configs and layer counts are in ../manifest.ts and ../config.ts, those of tars in ../tar/limits.ts.
 */

/** Images in one archive or index. */
export const MAX_IMAGES = 1000;
/** Bytes of manifests and configs stored from a stream. Only its end shows which of them belong to the image. */
export const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;
/** Files stored at the same time because they are not identified yet. */
export const MAX_UNIDENTIFIED = MAX_LAYERS;
/** Indexes that an index.json leads to. Each occurrence counts, because it is read. */
export const MAX_INDEXES = 10_000;
/** Nesting depth of indexes. Engines write one level, or two for a name of an image for several platforms. */
export const MAX_DEPTH = 4;
/**
 * Manifests that a layout's indexes name. Each occurrence counts. A folder may contain the builds of several years. With this many
 * manifests, a run needs 250 MB and some seconds. skopeo has no limit.
 */
export const MAX_MANIFESTS = 50_000;
/** Bytes of an index.json. An entry that this program writes has 280 to 400 bytes. */
export const MAX_INDEX = 20 * 1024 * 1024;
/** JSON values in an index.json. An entry that this program writes has eight, and V8 needs some 50 bytes for each. */
export const MAX_INDEX_VALUES = 600_000;
/** Nesting depth of JSON in an index.json. The spec's entries have four levels. */
export const MAX_INDEX_DEPTH = 64;
