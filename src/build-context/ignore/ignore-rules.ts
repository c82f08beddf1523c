/**
 * Decides which entries of a folder belong to a context. Used folder by folder from the top, because the decision for a path depends on the
 * decisions for the folders above it.
 */
export interface FolderRules {
  /** Returns whether an entry of this folder belongs to the context. Not for folders. @param path as in ContextEntry */
  includes(path: string): boolean;
  /** Decides about a folder in this folder. @param path as in ContextEntry */
  enter(path: string): FolderVerdict;
}

export interface FolderVerdict {
  /** A folder that is not included itself is still part of the context if something in it is. */
  isIncluded: boolean;
  /** The rules for the content of the folder. If undefined, nothing in it belongs to the context. */
  inside?: FolderRules | undefined;
}

/** The ignore rules that a context was read with. */
export interface AppliedRules {
  rules: "dockerignore" | "gitignore" | "none";
  /**
   * The path of the ignore file in UTF-8, relative to the context; for gitignore the first one found, which may be above the context.
   * Undefined if there are no rules, or for a git repository without an ignore file, of which only `.git` is excluded.
   */
  file?: string | undefined;
}

export const INCLUDE_ALL: FolderRules = {
  includes: () => true,
  enter: () => ({ isIncluded: true, inside: INCLUDE_ALL }),
};

export const EXCLUDE_ALL: FolderRules = {
  includes: () => false,
  enter: () => ({ isIncluded: false }),
};
