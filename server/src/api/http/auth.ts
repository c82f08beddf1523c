import type { FastifyInstance, FastifyRequest } from "fastify";
import ipaddr from "ipaddr.js";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { Access, Client, Scope } from "../../access/client.ts";
import type { Job } from "../../jobs/job.ts";
import { notFound, ProblemError } from "./problem.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The scope that the route needs; `open`: not even a token. Every route has one. */
    scope?: Scope | "open";
  }
  interface FastifyRequest {
    /** See {@link clientOf}. */
    sender: Client | undefined;
    /** Returns the current holder of the request's token. See {@link isStillClient}. */
    senderNow: (() => Client | undefined) | undefined;
  }
}

/**
 * Maximum number of wrong tokens from one address in {@link FAILURE_PERIOD} seconds. After that, other wrong tokens from it are
 * rejected until these seconds are over.
 */
const MAX_FAILURES = 20;
const FAILURE_PERIOD = 60;

/**
 * Requires a token before the body of a request is read, and the scope in the `config` of the route. A route without a
 * scope is a bug, and stops the start of the server. A valid token is always accepted: many clients may share one
 * address, for instance behind a proxy, and one of them with an old token must not lock out the others. Nobody guesses
 * 256 bits: the limit only reduces noise.
 */
export function requireTokens(app: FastifyInstance, access: Access): void {
  const failures = new RateLimiterMemory({ points: MAX_FAILURES, duration: FAILURE_PERIOD });
  app.decorateRequest("sender", undefined);
  app.decorateRequest("senderNow", undefined);
  app.addHook("onRoute", ({ method, url, config }) => {
    if (config?.scope === undefined) throw new Error(`the route ${String(method)} ${url} has no scope`);
  });
  app.addHook("onRequest", async (request) => {
    const { scope } = request.routeOptions.config;
    if (scope === "open" || request.is404) return;
    request.sender = await authenticate(request, access, failures);
    request.senderNow = () => access.client(request.headers.authorization);
    if (scope === undefined || !mayUse(request.sender, scope)) {
      throw new ProblemError(403, "forbidden", `The token lacks the scope "${scope}".`);
    }
  });
}

/** Returns the sender of a request. Only for routes that are not `open`. */
export function clientOf({ sender }: FastifyRequest): Client {
  if (sender === undefined) throw new Error("the route has no client");
  return sender;
}

/**
 * Returns whether the sender of a request still has the permissions that it had: while an event stream lasts, its token
 * may be revoked or lose scopes.
 */
export function isStillClient({ sender, senderNow }: FastifyRequest): boolean {
  const now = senderNow?.();
  if (sender === undefined || now === undefined) return false;
  return now.name === sender.name && [...sender.scopes].every((scope) => now.scopes.has(scope));
}

function mayUse({ scopes }: Client, scope: Scope): boolean {
  return scopes.has(scope) || scopes.has("admin");
}

export function seesJob({ name, scopes }: Client, { owner }: Job): boolean {
  return owner === name || scopes.has("admin");
}

/**
 * Returns a job that the client may see. For a job of somebody else, throws the same error as for one that does not
 * exist.
 */
export function visibleJob(client: Client, job: Job | undefined): Job {
  if (job === undefined || !seesJob(client, job)) throw notFound("This build does not exist.");
  return job;
}

async function authenticate(request: FastifyRequest, access: Access, failures: RateLimiterMemory): Promise<Client> {
  const client = access.client(request.headers.authorization);
  if (client !== undefined) return client;
  // A request without a token is not a guess: the page sends one to find out whether the server needs a token.
  const guesses = request.headers.authorization !== undefined;
  try {
    if (guesses) await failures.consume(limitedAddress(request.ip));
  } catch (limit) {
    if (limit instanceof RateLimiterRes) throw tooManyFailures(limit.msBeforeNext);
    throw limit;
  }
  // A missing, a wrong and a malformed token get the same response.
  throw new ProblemError(401, "unauthorized", "The request needs a token of this server.", {
    hint: "Send it in the header: Authorization: Bearer TOKEN",
    headers: { "www-authenticate": 'Bearer realm="docker-over-ssh"' },
  });
}

function tooManyFailures(ms: number): ProblemError {
  const headers = { "retry-after": String(Math.max(1, Math.ceil(ms / 1000))) };
  return new ProblemError(429, "too-many-failures", "Too many wrong tokens were sent from this address.", { headers });
}

/**
 * Returns the address that the limit counts. For IPv6 it is the network, because a host may have any number of
 * addresses in it. A Unix socket has none.
 */
function limitedAddress(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return "local";
  const parsed = ipaddr.process(address);
  return parsed.kind() === "ipv4" ? parsed.toString() : parsed.toNormalizedString().split(":").slice(0, 4).join(":");
}
