import type { FailureCode } from "../output/errors.ts";
import type { CheckName, Finding } from "../output/findings.ts";

/** Free bytes of a disk below which doctor warns. */
export const LITTLE = 1_000_000_000;

interface Finder {
  ok: (check: CheckName, text: string) => Finding;
  warning: (check: CheckName, text: string, toDo: string) => Finding;
  missing: (check: CheckName, text: string, toDo: string, code: FailureCode) => Finding;
}

/** Creates functions that create findings of one side. */
export function finder(side: Finding["side"]): Finder {
  return {
    ok: (check, text) => ({ side, check, state: "ok", text }),
    warning: (check, text, toDo) => ({ side, check, state: "warning", text, toDo }),
    missing: (check, text, toDo, code) => ({ side, check, state: "missing", text, toDo, code }),
  };
}
