import { finished } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { ProblemError } from "./problem.ts";

declare module "fastify" {
  interface FastifyRequest {
    /**
     * Counts the bytes of its body, together with other bodies that the client sends at the same time, until the
     * response is sent. See {@link countBytes}.
     */
    bodyShare: Share | undefined;
  }
}

/** Maximum number of requests with a body that a client may send at the same time: small bodies are in memory. */
export const MAX_BODIES = 64;
/** Maximum bytes on the disk that are not yet jobs, for each client, in multiples of the largest body. */
export const MAX_LARGEST = 4;

/** Counts something that clients hold at the same time, for each client. */
export class Shares {
  readonly #held = new Map<string, number>();

  /** Returns an empty share of a client. */
  of(client: string): Share {
    return new Share(this.#held, client);
  }
}

/** A part of a client's total. Disposing releases it. */
export class Share implements Disposable {
  readonly #held: Map<string, number>;
  readonly #client: string;
  #own = 0;

  constructor(held: Map<string, number>, client: string) {
    this.#held = held;
    this.#client = client;
  }

  /** Adds `amount` and returns true, unless the client's total would exceed `most`. */
  grow(amount: number, most: number): boolean {
    const all = (this.#held.get(this.#client) ?? 0) + amount;
    if (all > most) return false;
    this.#own += amount;
    this.#held.set(this.#client, all);
    return true;
  }

  [Symbol.dispose](): void {
    const left = (this.#held.get(this.#client) ?? 0) - this.#own;
    this.#own = 0;
    if (left > 0) this.#held.set(this.#client, left);
    else this.#held.delete(this.#client);
  }
}

/**
 * Limits what a client sends at the same time, before it becomes a job, which has its own limits. Call it after
 * `requireTokens`.
 */
export function limitBodies(app: FastifyInstance): void {
  const requests = new Shares();
  const bytes = new Shares();
  app.decorateRequest("bodyShare", undefined);
  app.addHook("onRequest", async (request, reply) => {
    const { method, sender } = request;
    if (sender === undefined || method === "GET" || method === "HEAD") return;
    const held = requests.of(sender.name);
    if (!held.grow(1, MAX_BODIES)) throw tooMany(`more than ${MAX_BODIES} requests with a body at the same time`);
    const share = bytes.of(sender.name);
    request.bodyShare = share;
    finished(reply.raw, () => {
      held[Symbol.dispose]();
      share[Symbol.dispose]();
    });
  });
}

/**
 * Counts bytes of a request that are written to the disk. Throws ProblemError 429 if its client has too many bytes that
 * are not yet jobs.
 */
export function countBytes({ bodyShare }: FastifyRequest, bytes: number, maxBody: number): void {
  if (bodyShare?.grow(bytes, MAX_LARGEST * maxBody) === false) {
    throw tooMany(`more than ${MAX_LARGEST} times the largest body at the same time`);
  }
}

/** Returns the error for a client that exceeds a limit. */
export function tooMany(what: string): ProblemError {
  return new ProblemError(429, "too-many-at-once", `This client has ${what}.`, { headers: { "retry-after": "5" } });
}
