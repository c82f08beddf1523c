import type { RemoteProgram } from "../../request.ts";

/** Whether a program there can log in to other hosts: a container has neither the user's ssh nor the keys, and the engine alone runs nothing. */
export function canRelay(program: RemoteProgram): boolean {
  return program !== "container" && program !== "engine";
}
