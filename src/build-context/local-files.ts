import type { BuildContext } from "./build-context.ts";

/** The files of a build on this side. */
export type LocalFiles =
  /** `gitignore`: whether .gitignore counts where there is no .dockerignore */
  | { kind: "folder"; path: string; gitignore: boolean }
  /** An archive on stdin. `strip`: folders that are left out at the beginning of each path */
  | { kind: "stdin"; strip?: number | undefined };

export interface OpenedContext extends BuildContext {
  /** The path of the Dockerfile, which is there. In UTF-8 */
  dockerfile: string;
}
