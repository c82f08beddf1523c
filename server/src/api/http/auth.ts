import type { FastifyInstance, FastifyRequest } from "fastify";
import ipaddr from "ipaddr.js";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { Access, Client, Scope } from "../../access/client.ts";
import type { Job } from "../../jobs/job.ts";
import { notFound, ProblemError } from "./problem.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a client needs to use the route; `open`: nothing, not even a token. Each route has one. */
    scope?: Scope | "open";
  }
  interface FastifyRequest {
    /** See {@link clientOf}. */
    sender: Client | undefined;
    /** Returns whose its token is by now. See {@link isStillClient}. */
    senderNow: (() => Client | undefined) | undefined;
  }
}

/** Wrong tokens from one address in {@link WINDOW} seconds, after which all others that are wrong have to wait until they are over. */
const MAX_FAILURES = 20;
const WINDOW = 60;

/**
 * Asks for a token before the body of a request is read, and for the scope in the `config` of the route. A route without one is a mistake, which
 * ends the start of the server. A token that is right passes at any time: many clients have one address, behind a proxy for instance, and one of them with
 * an old token must not lock out the others. Nobody guesses 256 bits: the limit is for noise.
 */
export function requireTokens(app: FastifyInstance, access: Access): void {
  const failures = new RateLimiterMemory({ points: MAX_FAILURES, duration: WINDOW });
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

/** Returns who has sent a request. Only for routes that are not `open`. */
export function clientOf({ sender }: FastifyRequest): Client {
  if (sender === undefined) throw new Error("the route has no client");
  return sender;
}

/** Whether whoever has sent a request still may what it might then: a token may be taken back, or lose scopes, while a stream of events lasts. */
export function isStillClient({ sender, senderNow }: FastifyRequest): boolean {
  const now = senderNow?.();
  if (sender === undefined || now === undefined) return false;
  return now.name === sender.name && [...sender.scopes].every((scope) => now.scopes.has(scope));
}

export function mayUse({ scopes }: Client, scope: Scope): boolean {
  return scopes.has(scope) || scopes.has("admin");
}

export function seesJob({ name, scopes }: Client, { owner }: Job): boolean {
  return owner === name || scopes.has("admin");
}

/** Returns a job that a client may see. For another's, throws what it throws for one that does not exist. */
export function visibleJob(client: Client, job: Job | undefined): Job {
  if (job === undefined || !seesJob(client, job)) throw notFound("There is no such job.");
  return job;
}

async function authenticate(request: FastifyRequest, access: Access, failures: RateLimiterMemory): Promise<Client> {
  const client = access.client(request.headers.authorization);
  if (client !== undefined) return client;
  // A request without a token guesses none: the page sends one to find out whether it needs one.
  const guesses = request.headers.authorization !== undefined;
  try {
    if (guesses) await failures.consume(limitedAddress(request.ip));
  } catch (limit) {
    if (limit instanceof RateLimiterRes) throw tooManyFailures(limit.msBeforeNext);
    throw limit;
  }
  // The same words for no token, a wrong one and one of a form that no token has
  throw new ProblemError(401, "unauthorized", "The request needs a token of this server.", {
    hint: "Send it in the header: Authorization: Bearer TOKEN",
    headers: { "www-authenticate": 'Bearer realm="docker-over-ssh"' },
  });
}

function tooManyFailures(ms: number): ProblemError {
  const headers = { "retry-after": String(Math.max(1, Math.ceil(ms / 1000))) };
  return new ProblemError(429, "too-many-failures", "Too many wrong tokens have come from this address.", { headers });
}

/** Of IPv6 the network: a host has as many addresses there as it likes. A Unix socket has none. */
function limitedAddress(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return "local";
  const parsed = ipaddr.process(address);
  return parsed.kind() === "ipv4" ? parsed.toString() : parsed.toNormalizedString().split(":").slice(0, 4).join(":");
}
