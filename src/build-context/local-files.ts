import type { BuildContext } from "./build-context.ts";

/** The files of a build on this side. */
export type LocalFiles =
  /** `gitignore`: whether .gitignore applies if there is no .dockerignore */
  | { kind: "folder"; path: string; gitignore: boolean }
  /** An archive on stdin. `strip`: the number of folders to remove from the beginning of each path */
  | { kind: "stdin"; strip?: number | undefined };

export interface OpenedContext extends BuildContext {
  /** The path of the Dockerfile, which exists. In UTF-8 */
  dockerfile: string;
}
