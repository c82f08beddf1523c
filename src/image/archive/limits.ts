import { MAX_LAYERS } from "../manifest.ts";

/**
 * What an archive may ask for at most. Far more than engines write, and little enough that a hostile archive costs neither
 * memory nor patience. Limits of manifests, configs and layer counts are in ../manifest.ts.
 */

/** Entries of a tar. A folder and three files for each layer is the most that an engine writes; 127 layers is its limit. */
export const MAX_ENTRIES = 100_000;
/** Images in one archive or index. */
export const MAX_IMAGES = 1000;
/** Bytes of manifests and configs that are kept from a stream until its end tells which of them count. */
export const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;
/** Files that are kept at a time because nothing has told yet which layers they are: as many as an image may have layers. */
export const MAX_UNIDENTIFIED = MAX_LAYERS;
/** Indexes that an index.json leads to, however often: each is read. */
export const MAX_INDEXES = 10_000;
/** Indexes within indexes. Engines write one level, two for a saved name of an image for several platforms. */
export const MAX_DEPTH = 4;
/**
 * Manifests that a layout's indexes name, however often: a folder may hold every build of years. At this many a run takes 250 MB, and some
 * seconds; skopeo has no limit.
 */
export const MAX_MANIFESTS = 50_000;
/** Bytes of an index.json: an entry of ours has 280 to 400. */
export const MAX_INDEX = 20 * 1024 * 1024;
/** Values in it: an entry of ours has eight, and V8 takes some 50 bytes for one. */
export const MAX_INDEX_VALUES = 600_000;
/** Lists and objects within each other in it: the spec's entries have four levels. */
export const MAX_INDEX_DEPTH = 64;
/** Links that are followed to a file. Engines write one. */
export const MAX_LINKS = 4;
