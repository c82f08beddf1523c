/** A rule of docs/guard.md, e.g. `query.unknown`. Audit lines and metrics name it. */
export type Rule = string;

/**
 * A request that a rule refuses, or that fails. The message is for the user of docker: the refused part, and what is
 * allowed or can be done. `statusCode` is 403 for a forbidden request, 400 for a malformed request, 404 for an object
 * that the tenant does not have, 409, 413, 429, 500.
 */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly statusCode: number;
  readonly rule: Rule;
  /** Seconds after which the same request may succeed (`Retry-After`); undefined: unknown */
  readonly retryAfter: number | undefined;

  constructor(
    rule: Rule,
    message: string,
    { statusCode = 403, retryAfter, cause }: { statusCode?: number; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.rule = rule;
    this.statusCode = statusCode;
    this.retryAfter = retryAfter;
  }
}

/** Creates a Refusal 400, for a malformed request */
export function badRequest(rule: Rule, message: string): Refusal {
  return new Refusal(rule, message, { statusCode: 400 });
}

/**
 * Returns the engine's message for an image that does not exist. A tenant also gets it for images of the host and of
 * other tenants.
 */
export function noSuchImage(name: string): Refusal {
  return new Refusal("image.unknown", `No such image: ${name}`, { statusCode: 404 });
}
