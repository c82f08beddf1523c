import type { RemoteProgram } from "../../output/remote-programs.ts";

/**
 * Returns whether a remote program can log in to other hosts. A container has neither the user's ssh nor the keys, and an engine alone
 * cannot run ssh.
 */
export function canRelay(program: RemoteProgram): boolean {
  return program !== "container" && program !== "engine";
}
