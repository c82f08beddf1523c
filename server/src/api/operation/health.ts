import type { FastifyPluginAsync } from "fastify";
import { Type } from "typebox";
import type { JobStore } from "../../store/job-store.ts";
import { ProblemError } from "../http/problem.ts";
import { PROBLEMS } from "../shapes/schemas.ts";
import { withTimeout } from "../http/with-timeout.ts";

/** ms that the store may take to answer */
const STORE_TIMEOUT = 2000;
/** ms for which an answer of the store is cached for all requests, which need no token. */
const CACHE_TIME = 1000;

/** Conditions for running jobs. */
type Missing = "the store of jobs" | "a worker" | "a worker that reaches its engine";

const OK = Type.Object({ status: Type.Literal("ok") });

const HEALTH_SCHEMA = {
  operationId: "health",
  tags: ["operation"],
  summary: "Check that the server lives",
  description: "Answers as long as the process runs.",
  response: { 200: OK },
} as const;

const READY_SCHEMA = {
  operationId: "readiness",
  tags: ["operation"],
  summary: "Check that the server can run builds",
  description:
    "Answers 200 if the store of jobs and a worker that reaches its engine are available. Otherwise, and while the server stops, answers 503 with the reason.",
  response: { 200: OK, ...PROBLEMS },
} as const;

/** Routes for process supervisors. Their responses reveal nothing about the inside of the server. */
export function healthRoutes(store: Pick<JobStore, "workers">, stopping?: AbortSignal): FastifyPluginAsync {
  const missing = remember(CACHE_TIME, () => findMissing(store));
  return async (app) => {
    app.get("/healthz", { config: { scope: "open" }, schema: HEALTH_SCHEMA }, async () => ({ status: "ok" }));
    app.get("/readyz", { config: { scope: "open" }, schema: READY_SCHEMA }, async () => {
      if (stopping?.aborted) throw notReady("The server is stopping.");
      const found = await missing();
      if (found === undefined) return { status: "ok" };
      throw notReady(`The server cannot run builds: ${found} is missing.`);
    });
  };
}

function notReady(detail: string): ProblemError {
  return new ProblemError(503, "not-ready", detail, { headers: { "retry-after": "5" } });
}

async function findMissing(store: Pick<JobStore, "workers">): Promise<Missing | undefined> {
  try {
    const workers = await withTimeout(STORE_TIMEOUT, store.workers());
    if (workers.length === 0) return "a worker";
    return workers.some(({ engine }) => engine.isReachable) ? undefined : "a worker that reaches its engine";
  } catch {
    return "the store of jobs";
  }
}

/** Returns a function that calls `ask` at most every `ms`. */
function remember<T>(ms: number, ask: () => Promise<T>): () => Promise<T> {
  let last: { at: number; answer: Promise<T> } | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined || now - last.at > ms) last = { at: now, answer: ask() };
    return last.answer;
  };
}
