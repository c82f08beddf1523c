/** A list with at least one entry. */
export type NonEmpty<T> = readonly [T, ...T[]];
