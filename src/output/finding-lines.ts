import { oneLine } from "./describe.ts";
import type { FailureCode } from "./errors.ts";

/** The subject of a check of `doctor`. */
export type CheckName =
  | "node"
  | "codecs"
  | "engine"
  | "cache"
  | "terminal"
  | "login"
  | "docker-over-ssh"
  | "disk"
  | "program";

/** A finding of `doctor`, in words for people, like a failure. */
export interface Finding {
  side: "here" | "there";
  check: CheckName;
  /** `warning`: a transfer works, but not as well as it could. `missing`: no transfer works. */
  state: "ok" | "warning" | "missing";
  text: string;
  /** The step that fixes or improves it. */
  toDo?: string;
  /** For a missing part: the failure that a transfer would end with. */
  code?: FailureCode;
}

/** Returns the lines of a finding in a table. */
export function findingLines({ side, check, state, text, toDo }: Finding): string[] {
  const line = `${state.padEnd(7)}  ${side.padEnd(5)}  ${check.padEnd(15)}  ${oneLine(text)}`;
  return toDo === undefined ? [line] : [line, `${" ".repeat(33)}to do: ${oneLine(toDo)}`];
}
