/** A rule of docs/guard.md, e.g. `query.unknown`. Audit lines and metrics name it. */
export type Rule = string;

/**
 * A request that is not let through, or that fails. The message is for the user of docker: what was refused, and what is allowed or can be done.
 * `statusCode` is 403 for what a rule refuses, 400 for what is no request, 404 for what the tenant does not have, 409, 413, 429, 500.
 */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly statusCode: number;
  readonly rule: Rule;
  /** s, after which the same request may be let through (`Retry-After`); undefined: nobody knows */
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

/** What a tenant does not have is not there, whether or not the host or another tenant has it: the words are the engine's. */
export function noSuchImage(name: string): Refusal {
  return new Refusal("image.unknown", `No such image: ${name}`, { statusCode: 404 });
}
