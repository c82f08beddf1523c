import type { FailureCode } from "../output/errors.ts";
import type { CheckName, Finding } from "../output/finding-lines.ts";

/** Free bytes of a disk below which doctor warns. */
export const FREE_SPACE_WARNING = 1_000_000_000;

interface FindingCreators {
  ok: (check: CheckName, text: string) => Finding;
  warning: (check: CheckName, text: string, toDo: string) => Finding;
  missing: (check: CheckName, text: string, toDo: string, code: FailureCode) => Finding;
}

/** Creates functions that create findings of one side. */
export function findingCreators(side: Finding["side"]): FindingCreators {
  return {
    ok: (check, text) => ({ side, check, state: "ok", text }),
    warning: (check, text, toDo) => ({ side, check, state: "warning", text, toDo }),
    missing: (check, text, toDo, code) => ({ side, check, state: "missing", text, toDo, code }),
  };
}
