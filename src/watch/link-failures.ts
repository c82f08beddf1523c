import { asFailure } from "../explain-error.ts";
import type { FailureCode } from "../output/errors.ts";

/** Failures that would also stop the other images. A new connection, or opening the engine again, may fix them. */
const OF_THE_LINK = new Set<FailureCode>(["link-lost", "remote-no-answer", "engine-unreachable"]);

/** Failures that no later attempt can fix. */
const FOR_GOOD = new Set<FailureCode>(["usage", "remote-other-protocol", "internal"]);

/** Returns whether a transfer has failed because of the link, or of an engine at one of its ends. */
export function isOfTheLink(error: unknown): boolean {
  return OF_THE_LINK.has(asFailure(error).code);
}

/** Returns whether every further attempt would fail. */
export function isForGood(error: unknown): boolean {
  return FOR_GOOD.has(asFailure(error).code);
}
