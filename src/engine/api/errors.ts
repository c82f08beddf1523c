import { Failure, messageOf } from "../../output/errors.ts";
import { DialError } from "../connect/dial-error.ts";
import { describeEndpoint, type EngineEndpoint } from "../connect/endpoint.ts";
import { EngineError } from "../engine-error.ts";
import { NotHttp } from "../connect/noise-filter.ts";
import { sshHint } from "../connect/ssh-command.ts";

const CHOOSE = "Start the engine, or choose another with -H, DOCKER_HOST or a docker context.";

/** Creates an error from the engine's message. `status`: the HTTP status, undefined for an error in a progress stream. */
export function answerError(words: string, status?: number): EngineError | Failure {
  if (/no space left on device/i.test(words)) {
    return new Failure("no-space", `the engine's disk is full: ${words.trim()}`, {
      expected: "room for the image on the disk on which the engine stores its images",
      hint: "Free some space there, for instance with `docker image prune` or `docker builder prune`, and run the same command again.",
      cause: new EngineError(words.trim(), status),
    });
  }
  return new EngineError(words.trim() || `the engine answered with HTTP status ${status}`, status);
}

/**
 * Creates a `Failure` for a failed connection, which names the engine and the setting that selected it. Returns a `Failure` unchanged,
 * which is the error of a stream that the caller opened.
 */
export function connectionFailure(error: unknown, endpoint: EngineEndpoint): Failure {
  if (error instanceof Failure) return error;
  const { reason, expected, hint } = describe(error, endpoint);
  return new Failure(
    "engine-unreachable",
    `cannot reach the Docker engine at ${describeEndpoint(endpoint)}: ${reason}`,
    { expected, hint, cause: error },
  );
}

/** Returns the Failure for an engine that has been silent for `ms`. `to`: the request, for the message. */
export function engineSilent(endpoint: EngineEndpoint, to: string, ms: number): Failure {
  return new Failure(
    "engine-unreachable",
    `the Docker engine at ${describeEndpoint(endpoint)} has not answered ${to} for ${Number((ms / 1000).toFixed(1))} s`,
    {
      expected: "an engine that answers and makes progress",
      hint: "Check whether it hangs (docker info) and read its log. push, pull and build wait longer with --timeout SECONDS.",
    },
  );
}

/** Returns the Failure for a server that is not a usable engine. */
export function notAnEngine(endpoint: EngineEndpoint, reason: string): Failure {
  const plainToTls = /HTTP request to an HTTPS server/i.test(reason);
  return new Failure(
    "engine-unreachable",
    `the server at ${describeEndpoint(endpoint)} is not a usable Docker engine: ${reason}`,
    {
      expected: plainToTls
        ? "a connection over TLS"
        : "Docker 20.10 or later (API 1.41), or Podman's Docker-compatible API",
      hint: plainToTls ? "Set DOCKER_TLS_VERIFY=1, with ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH." : CHOOSE,
    },
  );
}

interface FailureWords {
  reason: string;
  expected: string;
  hint: string;
}

function describe(error: unknown, { host, address }: EngineEndpoint): FailureWords {
  const { code, message } = firstOf(error);
  if (error instanceof DialError && address.protocol === "ssh") {
    return {
      reason: `ssh: ${message}`,
      expected: "an ssh login, and a remote docker with `docker system dial-stdio` (18.09 or later)",
      hint: sshHint(error, address),
    };
  }
  const expected = `an engine that listens at ${host}`;
  return (
    describeUnopened(code, expected) ??
    describeBroken(code, message, error instanceof NotHttp) ?? { reason: message, expected, hint: CHOOSE }
  );
}

/** Describes an error of opening a connection. Returns undefined for any other error. */
function describeUnopened(code: string, expected: string): FailureWords | undefined {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return { reason: "there is no such socket", expected, hint: CHOOSE };
    case "ECONNREFUSED":
      return { reason: "no program listens there (connection refused)", expected, hint: CHOOSE };
    case "EACCES":
    case "EPERM":
      return {
        reason: "this user may not use it (permission denied)",
        expected: "a user who may read and write the socket",
        hint: "Add the user to the group docker (`sudo usermod -aG docker $USER`, then log in again), run this with sudo, or use a rootless engine.",
      };
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return {
        reason: "there is no host of that name",
        expected,
        hint: "Correct the name, or choose another engine with -H, DOCKER_HOST or a docker context.",
      };
    default:
      return undefined;
  }
}

/** Describes an error of an open connection: it has broken, or the data is not HTTP. Returns undefined for any other error. */
function describeBroken(code: string, message: string, isNotHttp: boolean): FailureWords | undefined {
  if (code === "ECONNRESET" || code === "EPIPE") {
    return {
      reason: `it closed the connection (${message})`,
      expected: "an answer to the request",
      hint: "See the engine's log. An engine that listens for TLS needs DOCKER_TLS_VERIFY=1.",
    };
  }
  if (isNotHttp || code.startsWith("HPE_")) {
    return {
      reason: `its answer is not HTTP (${message})`,
      expected: "a Docker engine, and no other output before its answer",
      hint: "For ssh: the remote shell's start-up files must print nothing when no terminal is attached.",
    };
  }
  if (!isTls(code)) return undefined;
  return {
    reason: `TLS: ${message}`,
    expected: "an engine that speaks TLS, with a certificate for that name, signed by an authority in ca.pem",
    hint: "Compare ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH, or the files of the context, with those of the engine.",
  };
}

/** Matches the error codes of OpenSSL and Node. The codes of verification have no common prefix (`tls`, "X509 certificate error codes"). */
function isTls(code: string): boolean {
  return /^ERR_(SSL|TLS|OSSL)|CERT|SIGNATURE|ISSUER|^CRL_|^EPROTO$|^HOSTNAME_MISMATCH$/.test(code);
}

/** Returns the first of several errors: Node tries every address of a name, and reports all failures in one error without a message. */
function firstOf(error: unknown): { code: string; message: string } {
  const first = error instanceof AggregateError && error.errors.length > 0 ? (error.errors[0] as unknown) : error;
  return { code: (first as NodeJS.ErrnoException | undefined)?.code ?? "", message: messageOf(first) };
}
