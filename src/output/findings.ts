import { oneLine } from "./describe.ts";
import type { FailureCode } from "./errors.ts";

/** What `doctor` looks at. */
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

/** What `doctor` has found, in words, as a failure has. */
export interface Finding {
  side: "here" | "there";
  check: CheckName;
  /** `warning`: a transfer works, but not as well as it could. `missing`: none works. */
  state: "ok" | "warning" | "missing";
  text: string;
  /** What mends or improves it. */
  toDo?: string;
  /** The failure that a transfer would end with, for what is missing. */
  code?: FailureCode;
}

/** Returns the lines of a finding in a table. */
export function findingLines({ side, check, state, text, toDo }: Finding): string[] {
  const line = `${state.padEnd(7)}  ${side.padEnd(5)}  ${check.padEnd(15)}  ${oneLine(text)}`;
  return toDo === undefined ? [line] : [line, `${" ".repeat(33)}to do: ${oneLine(toDo)}`];
}
