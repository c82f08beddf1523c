import { Failure } from "../output/errors.ts";
import { oneLine } from "../output/describe.ts";
import type { ServerAddress } from "./server-address.ts";
import type { ServiceAnswer } from "./service-client.ts";

/** The server cannot take it at the moment. */
export class Busy extends Error {
  override readonly name = "Busy";
  /** ms that the server asks to wait; undefined where it does not say */
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
  /** The body: problem details (RFC 9457), or anything */
  value: unknown;
}

/** Characters of a server's words, and fields that are named. */
const MAX_WORDS = 1000;
const MAX_FIELDS = 10;

/** Returns the error for an answer that is no success: a Failure, or {@link Busy}. */
export function refusal({ status, headers, value }: Refusal, { shown }: ServerAddress): Failure | Busy {
  const words = wordsOf(value);
  const said = words === undefined ? "" : `: ${words}`;
  switch (status) {
    case 401:
      return new Failure("refused", `${shown} does not know the token${said}`, {
        expected: "a token of that server in BUILD_AUTH or --token-file",
        hint: "Ask whoever runs it: docker-over-ssh serve token NAME makes one.",
      });
    case 403:
      return new Failure("refused", `${shown} does not allow it${said}`, {
        expected: textOf(value, "expected") ?? "a token with the scopes build and read, and with that image name",
      });
    case 404:
      if (words === undefined) break;
      return new Failure("refused", `${shown} has no such build${said}`, {
        expected: "a build that is kept there, and that this token may see",
      });
    case 413:
      return new Failure("refused", `the context is larger than ${shown} takes${said}`, {
        expected: "a context within the limit of the server, or of a proxy before it",
        hint: "Leave files out with a .dockerignore.",
      });
    case 400:
    case 415:
    case 422:
      return new Failure("refused", `${shown} does not take the build${said}`, {
        expected: fieldsOf(value) ?? textOf(value, "expected") ?? "a build that this server takes",
        ...hintOf(value),
      });
  }
  if (status === 408 || status === 429 || status >= 500) {
    const busy = `${shown} answers ${status}${said}`;
    return new Busy(busy, status, retryAfter(headers));
  }
  if (words === undefined) return noService(shown, `it answers ${status}`);
  return new Failure("transfer-failed", `${shown} answers ${status}${said}`, {
    expected: textOf(value, "expected") ?? "a request that this server takes",
    ...hintOf(value),
  });
}

/** Returns the Failure for an answer that no build service gives. */
export function noService(shown: string, why: string): Failure {
  return new Failure("server-unreachable", `${shown} is no build service: ${why}`, {
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

/** Returns the names of the fields that are wrong, and why. */
function fieldsOf(value: unknown): string | undefined {
  const { errors } = (value ?? {}) as { errors?: unknown };
  if (!Array.isArray(errors) || errors.length === 0) return undefined;
  const fields = (errors as unknown[]).slice(0, MAX_FIELDS).flatMap((error) => {
    const { field, detail, message } = (error ?? {}) as Record<string, unknown>;
    const why = [detail, message].find((one) => typeof one === "string");
    return typeof field === "string" ? [oneLine(`${field}${typeof why === "string" ? ` (${why})` : ""}`)] : [];
  });
  return fields.length === 0 ? undefined : `other values of ${fields.join(", ")}`.slice(0, MAX_WORDS);
}

/** Returns ms (RFC 9110, 10.2.3). */
function retryAfter({ "retry-after": given = "" }: ServiceAnswer["headers"]): number | undefined {
  if (/^\d{1,9}$/.test(given)) return Number(given) * 1000;
  const at = Date.parse(given);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
