/** What belongs to a context, asked folder by folder from the top, because the answer for a path depends on those for the folders above it. */
export interface FolderRules {
  /** Whether something in this folder that is no folder belongs to the context. @param path as in ContextEntry */
  keeps(path: string): boolean;
  /** Judges a folder in this folder. @param path as in ContextEntry */
  enter(path: string): FolderVerdict;
}

export interface FolderVerdict {
  /** A folder that is not kept is still part of the context if something in it is. */
  isKept: boolean;
  /** The rules for what is in it. Left out: none of that is kept. */
  inside?: FolderRules | undefined;
}

/** Which ignore rules a context has been read with. */
export interface AppliedRules {
  rules: "dockerignore" | "gitignore" | "none";
  /**
   * The path of the ignore file in UTF-8, relative to the context; for gitignore the first that was found, which may be above the context.
   * Undefined: no rules, or a git repository without an ignore file, of which only `.git` is left out.
   */
  file?: string | undefined;
}

export const KEEP_ALL: FolderRules = {
  keeps: () => true,
  enter: () => ({ isKept: true, inside: KEEP_ALL }),
};

export const KEEP_NOTHING: FolderRules = {
  keeps: () => false,
  enter: () => ({ isKept: false }),
};
