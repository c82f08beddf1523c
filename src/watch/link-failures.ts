import { asFailure } from "../explain-error.ts";
import type { FailureCode } from "../output/errors.ts";

/** Failures for which the other images would fail as well: another connection, and an engine that is opened again, may mend them. */
const OF_THE_LINK = new Set<FailureCode>(["link-lost", "remote-no-answer", "engine-unreachable"]);

/** Failures that no later attempt can mend. */
const FOR_GOOD = new Set<FailureCode>(["usage", "remote-other-protocol", "internal"]);

/** Whether a transfer has failed because of the link, or of an engine at one of its ends. */
export function isOfTheLink(error: unknown): boolean {
  return OF_THE_LINK.has(asFailure(error).code);
}

/** Whether the same command would fail again, however often it was tried. */
export function isForGood(error: unknown): boolean {
  return FOR_GOOD.has(asFailure(error).code);
}
