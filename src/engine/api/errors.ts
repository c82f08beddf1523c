import { Failure, messageOf } from "../../output/errors.ts";
import { DialError } from "../connect/dial-error.ts";
import { describeEndpoint, type EngineEndpoint } from "../connect/endpoint.ts";
import { EngineError } from "../engine-error.ts";
import { NotHttp } from "../connect/noise-filter.ts";
import { sshHint } from "../connect/ssh-command.ts";

const CHOOSE = "Start the engine, or choose another with -H, DOCKER_HOST or a docker context.";

/** What the engine's own words mean. `status` is the HTTP status, undefined for an error inside a progress stream. */
export function answerError(words: string, status?: number): EngineError | Failure {
  if (/no space left on device/i.test(words)) {
    return new Failure("no-space", `the engine's disk is full: ${words.trim()}`, {
      expected: "room for the image on the disk that the engine keeps its images on",
      hint: "Free some there, for instance with `docker image prune`, and run this again.",
      cause: new EngineError(words.trim(), status),
    });
  }
  return new EngineError(words.trim() || `the engine answered with HTTP status ${status}`, status);
}

/**
 * A connection that failed, in words that name the engine, say why it was that one, and what to do. A stream that somebody
 * else opened fails with words of its own.
 */
export function connectionFailure(error: unknown, endpoint: EngineEndpoint): Failure {
  if (error instanceof Failure) return error;
  const { reason, expected, hint } = explain(error, endpoint);
  return new Failure(
    "engine-unreachable",
    `cannot reach the Docker engine at ${describeEndpoint(endpoint)}: ${reason}`,
    { expected, hint, cause: error },
  );
}

/** It is connected, or is being, and says nothing for so many ms. `to`: to what. */
export function engineSilent(endpoint: EngineEndpoint, to: string, ms: number): Failure {
  return new Failure(
    "engine-unreachable",
    `the Docker engine at ${describeEndpoint(endpoint)} has not answered ${to} for ${Number((ms / 1000).toFixed(1))} s`,
    {
      expected: "an engine that answers, and gets on with what it does",
      hint: "See whether it hangs (docker info), and its log; one that is slow is given more time with --timeout SECONDS.",
    },
  );
}

/** Something answers, and it is not an engine that can be used. */
export function notAnEngine(endpoint: EngineEndpoint, reason: string): Failure {
  const plainToTls = /HTTP request to an HTTPS server/i.test(reason);
  return new Failure(
    "engine-unreachable",
    `what answers at ${describeEndpoint(endpoint)} is not a usable Docker engine: ${reason}`,
    {
      expected: plainToTls
        ? "a connection over TLS"
        : "Docker 20.10 or later (API 1.41), or Podman's Docker-compatible API",
      hint: plainToTls ? "Set DOCKER_TLS_VERIFY=1, with ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH." : CHOOSE,
    },
  );
}

interface Explanation {
  reason: string;
  expected: string;
  hint: string;
}

function explain(error: unknown, { host, address }: EngineEndpoint): Explanation {
  const { code, message } = firstOf(error);
  if (error instanceof DialError && address.protocol === "ssh") {
    return {
      reason: `ssh: ${message}`,
      expected: "an ssh login, and `docker system dial-stdio` to work over there (Docker 18.09 or later)",
      hint: sshHint(error, address),
    };
  }
  const expected = `an engine to be listening at ${host}`;
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return { reason: "there is no such socket", expected, hint: CHOOSE };
    case "ECONNREFUSED":
      return { reason: "nothing listens there (connection refused)", expected, hint: CHOOSE };
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
    case "ECONNRESET":
    case "EPIPE":
      return {
        reason: `it closed the connection (${message})`,
        expected: "an answer to the request",
        hint: "See the engine's log. An engine that listens for TLS needs DOCKER_TLS_VERIFY=1.",
      };
    default:
      if (code.startsWith("HPE_") || error instanceof NotHttp) {
        return {
          reason: `what it says is not HTTP (${message})`,
          expected: "a Docker engine, and nothing that prints before it answers",
          hint: "For ssh: keep the shell start-up files over there silent when no terminal is attached.",
        };
      }
      return isTls(code)
        ? {
            reason: `TLS: ${message}`,
            expected: "an engine that speaks TLS, with a certificate for that name that ca.pem vouches for",
            hint: "Compare ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH, or the files of the context, with those of the engine.",
          }
        : { reason: message, expected, hint: CHOOSE };
  }
}

/** OpenSSL's own and Node's codes; the verification ones have no prefix in common (`tls`, "X509 certificate error codes"). */
function isTls(code: string): boolean {
  return /^ERR_(SSL|TLS|OSSL)|CERT|SIGNATURE|ISSUER|^CRL_|^EPROTO$|^HOSTNAME_MISMATCH$/.test(code);
}

/** Node tries every address of a name, and reports the failures of all of them in one error that has no words of its own. */
function firstOf(error: unknown): { code: string; message: string } {
  const first = error instanceof AggregateError && error.errors.length > 0 ? (error.errors[0] as unknown) : error;
  return { code: (first as NodeJS.ErrnoException | undefined)?.code ?? "", message: messageOf(first) };
}
