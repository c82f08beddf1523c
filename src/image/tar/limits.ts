/** Limits of a tar: far above the tars that engines write, and low enough to bound the memory and time that a hostile one costs. */

/** Entries of a tar. Engines write at most a folder and three files for each layer, and at most 127 layers. */
export const MAX_ENTRIES = 100_000;
/** Links to follow to a file. Engines write one. */
export const MAX_LINKS = 4;
