import { finished } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { ProblemError } from "./problem.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Counts bytes of its body among those that its client sends at the same time, until it is answered. See {@link countBytes}. */
    bodyShare: Share | undefined;
  }
}

/** Requests with a body that a client may have at the same time: small bodies are in memory. */
export const MAX_BODIES = 64;
/** Times the largest body: as many bytes of a client's bodies may be on their way, which are on the disk and no jobs yet. */
export const MAX_LARGEST = 4;

/** What each client holds of something at the same time. */
export class Shares {
  readonly #held = new Map<string, number>();

  /** Returns a share of a client, which is empty. */
  of(client: string): Share {
    return new Share(this.#held, client);
  }
}

/** A part of what a client holds. Disposing gives it back. */
export class Share implements Disposable {
  readonly #held: Map<string, number>;
  readonly #client: string;
  #own = 0;

  constructor(held: Map<string, number>, client: string) {
    this.#held = held;
    this.#client = client;
  }

  /** Adds to it, and returns true, unless the client would then have more than `most` of all. */
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

/** Limits what a client sends at the same time, before it is a job, which has limits of its own. Call it after `requireTokens`. */
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

/** Counts bytes of a request that go to the disk. Throws ProblemError 429 where its client has too many that are no jobs yet. */
export function countBytes({ bodyShare }: FastifyRequest, bytes: number, maxBody: number): void {
  if (bodyShare?.grow(bytes, MAX_LARGEST * maxBody) === false) {
    throw tooMany(`more than ${MAX_LARGEST} times the largest body at the same time`);
  }
}

/** Returns the error for a client that holds too much. */
export function tooMany(what: string): ProblemError {
  return new ProblemError(429, "too-many-at-once", `This client has ${what}.`, { headers: { "retry-after": "5" } });
}
