import { MAX_LAYERS } from "../manifest.ts";

/**
 * Limits of an archive: far above what engines write, and low enough that a hostile archive costs neither memory nor time. Those of
 * manifests, configs and layer counts are in ../manifest.ts and ../config.ts, those of tars in ../tar/limits.ts.
 */

/** Images in one archive or index. */
export const MAX_IMAGES = 1000;
/** Bytes of manifests and configs kept from a stream until its end tells which of them belong to the image. */
export const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;
/** Files kept at a time because it is not known yet which layers they are. */
export const MAX_UNIDENTIFIED = MAX_LAYERS;
/** Indexes that an index.json leads to, counted as often as they are named: each is read. */
export const MAX_INDEXES = 10_000;
/** Nesting depth of indexes. Engines write one level, two for a saved name of an image for several platforms. */
export const MAX_DEPTH = 4;
/**
 * Manifests that a layout's indexes name, counted as often as they are named: a folder may hold every build of years. With this many, a run
 * takes 250 MB and some seconds; skopeo has no limit.
 */
export const MAX_MANIFESTS = 50_000;
/** Bytes of an index.json. One entry of ours has 280 to 400. */
export const MAX_INDEX = 20 * 1024 * 1024;
/** JSON values in an index.json. One entry of ours has eight, and V8 takes some 50 bytes for one. */
export const MAX_INDEX_VALUES = 600_000;
/** Nesting depth of JSON in an index.json. The spec's entries have four levels. */
export const MAX_INDEX_DEPTH = 64;
