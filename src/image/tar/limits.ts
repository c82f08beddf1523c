/** Limits of a tar: far above what engines write, and low enough that a hostile one costs neither memory nor time. */

/** Entries of a tar. Engines write at most a folder and three files for each layer, and at most 127 layers. */
export const MAX_ENTRIES = 100_000;
/** Links followed to reach a file. Engines write one. */
export const MAX_LINKS = 4;
