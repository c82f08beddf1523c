import { asFailure } from "../explain-error.ts";
import type { FailureCode } from "../output/errors.ts";

/** Failures that would also stop the other images. A new connection, or opening the engine again, may fix them. */
const LINK_FAILURES = new Set<FailureCode>(["link-lost", "remote-no-answer", "engine-unreachable"]);

/** Failures that no later attempt can fix. */
const PERMANENT_FAILURES = new Set<FailureCode>(["usage", "remote-other-protocol", "internal"]);

/** Returns whether a transfer has failed because of the link, or of an engine at one of its ends. */
export function isLinkFailure(error: unknown): boolean {
  return LINK_FAILURES.has(asFailure(error).code);
}

/** Returns whether every further attempt would fail. */
export function isPermanent(error: unknown): boolean {
  return PERMANENT_FAILURES.has(asFailure(error).code);
}
