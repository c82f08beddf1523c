import { Failure } from "../output/errors.ts";
import { oneLine } from "../output/describe.ts";
import type { ServerAddress } from "./server-address.ts";
import type { ServiceAnswer } from "./service-client.ts";

/** The server cannot accept the request at the moment. */
export class Busy extends Error {
  override readonly name = "Busy";
  /** ms that the server asks the client to wait; undefined if it does not state them */
  readonly retryAfter: number | undefined;
  readonly status: number;

  constructor(message: string, status: number, retryAfter: number | undefined) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export interface Refusal {
  status: number;
  headers: ServiceAnswer["headers"];
  /** The parsed body: problem details (RFC 9457), or any other value */
  value: unknown;
}

/** Maximum characters of a server's words. */
const MAX_WORDS = 1000;
const MAX_FIELDS = 10;

/** Returns the error for an unsuccessful answer: a Failure, or {@link Busy}. */
export function refusal({ status, headers, value }: Refusal, { shown }: ServerAddress): Failure | Busy {
  const words = wordsOf(value);
  const details = words === undefined ? "" : `: ${words}`;
  switch (status) {
    case 401:
      return new Failure("refused", `${shown} does not know the token${details}`, {
        expected: "a token of that server in BUILD_AUTH or --token-file",
        hint: "Ask the server's operator for a token: docker-over-ssh serve token NAME creates one.",
      });
    case 403:
      return new Failure("refused", `${shown} does not allow the request${details}`, {
        expected: textOf(value, "expected") ?? "a token with the scopes build and read, and with that image name",
      });
    case 404:
      if (words === undefined) break;
      return new Failure("refused", `${shown} has no such build${details}`, {
        expected: "a build that the server still stores, and that this token may see",
      });
    case 413:
      return new Failure("refused", `the context is larger than ${shown} accepts${details}`, {
        expected: "a context within the limit of the server, or of a proxy in front of it",
        hint: "Exclude files with a .dockerignore.",
      });
    case 400:
    case 415:
    case 422:
      return new Failure("refused", `${shown} does not accept the build${details}`, {
        expected: fieldsOf(value) ?? textOf(value, "expected") ?? "a build that this server accepts",
        ...hintOf(value),
      });
  }
  if (status === 408 || status === 429 || status >= 500) {
    const busy = `${shown} answers ${status}${details}`;
    return new Busy(busy, status, retryAfter(headers));
  }
  if (words === undefined) return noService(shown, `it answers ${status}`);
  return new Failure("transfer-failed", `${shown} answers ${status}${details}`, {
    expected: textOf(value, "expected") ?? "a request that this server accepts",
    ...hintOf(value),
  });
}

/** Returns the Failure for an answer that does not come from a build service. */
export function noService(shown: string, why: string): Failure {
  return new Failure("server-unreachable", `${shown} is not a build service: ${why}`, {
    expected: "the address of docker-over-ssh serve",
    hint: "Check --server or BUILD_HOST and BUILD_PORT.",
  });
}

function wordsOf(value: unknown): string | undefined {
  return textOf(value, "detail") ?? textOf(value, "title");
}

function hintOf(value: unknown): { hint?: string } {
  const hint = textOf(value, "hint");
  return hint === undefined ? {} : { hint };
}

/** Returns words of the server on one line. */
function textOf(value: unknown, name: "detail" | "title" | "expected" | "hint"): string | undefined {
  const words = ((value ?? {}) as Record<string, unknown>)[name];
  return typeof words === "string" ? oneLine(words).slice(0, MAX_WORDS) : undefined;
}

/** Returns the names of the invalid fields, and the reasons. */
function fieldsOf(value: unknown): string | undefined {
  const { errors } = (value ?? {}) as { errors?: unknown };
  if (!Array.isArray(errors) || errors.length === 0) return undefined;
  const fields = (errors as unknown[]).slice(0, MAX_FIELDS).flatMap((error) => {
    const { field, detail, message } = (error ?? {}) as Record<string, unknown>;
    const why = [detail, message].find((text) => typeof text === "string");
    return typeof field === "string" ? [oneLine(`${field}${typeof why === "string" ? ` (${why})` : ""}`)] : [];
  });
  return fields.length === 0 ? undefined : `other values of ${fields.join(", ")}`.slice(0, MAX_WORDS);
}

/** Returns the value of the header in ms (RFC 9110, 10.2.3). */
function retryAfter({ "retry-after": given = "" }: ServiceAnswer["headers"]): number | undefined {
  if (/^\d{1,9}$/.test(given)) return Number(given) * 1000;
  const at = Date.parse(given);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
