import { join } from "node:path";
import { Failure } from "../../output/errors.ts";
import { toEntryPath } from "../paths.ts";
import { dockerignoreRules } from "./dockerignore.ts";
import { type Followed, followInside } from "./follow-inside.ts";
import { GitRules } from "./gitignore.ts";
import { type AppliedRules, type FolderRules, INCLUDE_ALL } from "./ignore-rules.ts";
import { readRegularFile } from "./read-regular-file.ts";

export interface IgnoreOptions {
  /** The Dockerfile's path in the context, in UTF-8 */
  dockerfile: string;
  /** Whether .gitignore applies if there is no .dockerignore */
  gitignore: boolean;
}

export interface IgnoreRules {
  root: FolderRules;
  /**
   * The files that the builder itself reads: the Dockerfile, the ignore file, and the links that lead to them. Paths of entries. They are
   * sent even if the rules exclude them.
   */
  builderFiles: readonly string[];
  /** Must be called after the walk, which may find further files. */
  applied: () => AppliedRules;
}

/**
 * Chooses the rules of a context, as BuildKit does (dockerui, `DockerIgnorePatterns`): `<Dockerfile>.dockerignore` next to the Dockerfile,
 * even an empty one, else `.dockerignore`; without either, git's. Throws a Failure `context-invalid` for an ignore file that cannot be used.
 * @param root the absolute path of the context, without links
 */
export function openIgnoreRules(root: string, { dockerfile, gitignore }: IgnoreOptions): IgnoreRules {
  const builderFiles = visited(followInside(root, dockerfile));
  for (const file of [`${dockerfile}.dockerignore`, ".dockerignore"]) {
    const followed = followInside(root, file);
    const text = readIgnoreFile(root, file, followed);
    if (text === undefined) continue;
    return {
      root: dockerignoreRules(text, file),
      builderFiles: [...builderFiles, ...visited(followed)],
      applied: () => ({ rules: "dockerignore", file }),
    };
  }
  const git = gitignore ? new GitRules(root) : undefined;
  return {
    root: git?.root ?? INCLUDE_ALL,
    builderFiles,
    applied: () =>
      git && (git.hasRepository || git.firstFile !== undefined)
        ? { rules: "gitignore", file: git.firstFile }
        : { rules: "none" },
  };
}

/**
 * Reads an ignore file. If BuildKit cannot follow a link inside the context, follows it outside, as Docker's classic client does: BuildKit
 * would continue without rules, and send files that the user has excluded.
 */
function readIgnoreFile(root: string, file: string, { target, links }: Followed): string | undefined {
  if (target !== undefined) return readRegularFile(join(root, target))?.toString();
  if (links.length === 0) return;
  const text = readRegularFile(join(root, file), { follow: true })?.toString();
  if (text !== undefined || !links.includes(file)) return text;
  throw new Failure("context-invalid", `${file} is a link that leads nowhere`, {
    expected: "a file that lists what does not belong to the build context",
    hint: "Fix the link, or remove it.",
  });
}

function visited({ target, links }: Followed): string[] {
  return [...links, ...(target === undefined ? [] : [target])].map(toEntryPath);
}
