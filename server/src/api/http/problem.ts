import { STATUS_CODES } from "node:http";
import type { FastifyError, FastifyReply } from "fastify";
import { Failure } from "docker-over-ssh/builds";
import { QueueFull, StoreUnavailable } from "../../store/job-store.ts";
import { invalidFields, type InvalidField } from "./invalid-fields.ts";

/**
 * Problem details (RFC 9457). Without a `type`, which means `about:blank`: `code` distinguishes problems of one status.
 */
export interface Problem {
  title: string;
  status: number;
  /** Stable: programs may compare it. */
  code: string;
  detail: string;
  expected?: string | undefined;
  hint?: string | undefined;
  /** The rejected fields; if there are many, only the first ones */
  errors?: readonly InvalidField[] | undefined;
}

export interface ProblemText {
  expected?: string | undefined;
  hint?: string | undefined;
  errors?: readonly InvalidField[] | undefined;
  /** Headers of the response, by their lower-case names */
  headers?: Readonly<Record<string, string>> | undefined;
  cause?: unknown;
}

/** An error that contains the response for the client. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly status: number;
  readonly code: string;
  readonly text: ProblemText;

  constructor(status: number, code: string, detail: string, text: ProblemText = {}) {
    super(detail, text.cause === undefined ? undefined : { cause: text.cause });
    this.status = status;
    this.code = code;
    this.text = text;
  }
}

/** The media type of problem details. */
export const PROBLEM_TYPE = "application/problem+json";

/** Seconds after which a client may retry a temporary failure. */
const RETRY_AFTER = 5;

/**
 * Returns the response for anything that a route throws. Omits the text of unexpected errors, which may reveal details
 * of the machine.
 */
export function asProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof StoreUnavailable) {
    return later(503, "store-unavailable", "The server cannot reach its store of jobs.", error);
  }
  if (error instanceof QueueFull) return later(429, "queue-full", "The queue is full.", error, 30);
  if (error instanceof Failure) return failureProblem(error);
  if (isFastifyError(error)) return frameworkProblem(error);
  return internal(error);
}

/** Returns the members of problem details, ordered for people. */
export function problemBody({ status, code, message, text }: ProblemError): Problem {
  return {
    title: STATUS_CODES[status] ?? "Error",
    status,
    code,
    detail: message,
    ...(text.expected !== undefined && { expected: text.expected }),
    ...(text.hint !== undefined && { hint: text.hint }),
    ...(text.errors !== undefined && { errors: text.errors }),
  };
}

export function sendProblem(reply: FastifyReply, problem: ProblemError): FastifyReply {
  prepareAnswer(reply, problem);
  return reply.type(PROBLEM_TYPE).send(JSON.stringify(problemBody(problem)));
}

/** Sets the status and the headers of the response to a rejected request. */
export function prepareAnswer(reply: FastifyReply, problem: ProblemError): void {
  reply.status(problem.status).headers({ "cache-control": "no-store", ...problem.text.headers });
}

export function notFound(detail = "There is nothing at this address."): ProblemError {
  return new ProblemError(404, "not-found", detail);
}

function internal(cause: unknown): ProblemError {
  const hint = "Ask the operator: the server's output has the reason.";
  return new ProblemError(500, "internal", "The server failed to handle this request.", { hint, cause });
}

function later(status: number, code: string, detail: string, cause: unknown, seconds = RETRY_AFTER): ProblemError {
  return new ProblemError(status, code, detail, { headers: { "retry-after": String(seconds) }, cause });
}

const FAILURE_STATUS: Partial<Record<Failure["code"], number>> = { usage: 422, refused: 403, "no-space": 507 };

function failureProblem(failure: Failure): ProblemError {
  const status = FAILURE_STATUS[failure.code];
  if (status === undefined) return internal(failure);
  const { expected, hint } = failure;
  // Only the operator of the server learns which disk is full.
  if (status === 507) return new ProblemError(507, "no-space", "The server has no space for this.", { cause: failure });
  return new ProblemError(status, failure.code, failure.message, { expected, hint, cause: failure });
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && ("validation" in error || ("code" in error && "statusCode" in error));
}

const MEDIA_TYPE_HINT =
  "Send Content-Type: application/json with JSON; the reference of the API has the types of archives and forms.";

const FRAMEWORK_CODES: Readonly<
  Record<string, readonly [status: number, code: string, detail: string, hint?: string]>
> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, "too-large", "The body is larger than this server accepts."],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, "media-type", "This address accepts no body of this type.", MEDIA_TYPE_HINT],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, "incomplete", "The body has fewer bytes than its Content-Length."],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, "malformed", "The body is not JSON."],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, "malformed", "The body is empty."],
  FST_ERR_BAD_URL: [400, "malformed", "The address is malformed."],
  FST_ERR_MAX_PARAM_LENGTH: [404, "not-found", "There is nothing at this address."],
};

function frameworkProblem(error: FastifyError): ProblemError {
  if (error.validation !== undefined) {
    const part = error.validationContext === "querystring" ? "query" : (error.validationContext ?? "request");
    const errors = invalidFields(error.validation);
    return new ProblemError(400, "invalid", `The ${part} is not valid.`, { errors, cause: error });
  }
  const [status, code, detail, hint] = FRAMEWORK_CODES[error.code] ?? [];
  if (status !== undefined && code !== undefined && detail !== undefined) {
    return new ProblemError(status, code, detail, { hint, cause: error });
  }
  const { statusCode = 500 } = error;
  if (statusCode >= 400 && statusCode < 500) {
    return new ProblemError(statusCode, "malformed", "The request is malformed.", { cause: error });
  }
  return internal(error);
}
