import { writeFile } from "node:fs/promises";
import type { FastifyRequest } from "fastify";
import { v7 as uuid } from "uuid";
import type { Client } from "../../access/client.ts";
import type { JobSource } from "../../jobs/job.ts";
import type { AddedJob, BodyFile, Idempotency, JobStore } from "../../store/job-store.ts";
import type { AppContext } from "./app-context.ts";
import { clientOf } from "../http/auth.ts";
import { countBytes } from "../http/client-shares.ts";
import { asNoSpace, type Archive, type BodyLimits, type Spooled } from "../http/body.ts";
import type { ReadOrder } from "./order.ts";
import { ProblemError } from "../http/problem.ts";

/** Returns the limits of a body: those of the client's token, or the server's. */
export function bodyLimits({ settings }: AppContext, request: FastifyRequest): BodyLimits {
  const { idle } = settings.upload;
  const { limits } = clientOf(request);
  const maxBody = Math.min(limits.body ?? settings.upload.maxBody, settings.upload.maxBody);
  return { maxBody, idle, onBytes: (count) => countBytes(request, count, maxBody) };
}

/**
 * Rejects a job before its body is read, if the queue is full or the service is stopping. `add` checks again after the
 * body has arrived.
 */
export async function refuseWhenFull(context: AppContext, { name, limits }: Client): Promise<void> {
  const { store, settings } = context;
  refuseWhenStopping(context);
  const { queued } = await store.counts();
  if (queued >= settings.maxQueued) throw queueFull("The server's queue is full.");
  if (limits.queued === undefined) return;
  const own = await store.counts(name);
  if (own.queued >= limits.queued) throw queueFull("This token already has its maximum number of queued builds.");
}

/** The process keeps credentials in memory: a job with credentials would lose them. */
function refuseWhenStopping({ stopping }: AppContext): void {
  if (!stopping?.aborted) return;
  throw new ProblemError(503, "stopping", "The server is stopping, and accepts no builds.", {
    headers: { "retry-after": "30" },
  });
}

function queueFull(detail: string): ProblemError {
  return new ProblemError(429, "queue-full", detail, { headers: { "retry-after": "30" } });
}

interface Submission {
  client: Client;
  read: ReadOrder;
  archive?: Archive | undefined;
  idempotency?: Idempotency | undefined;
  retryOf?: string | undefined;
}

/** Passes a job to the store. Throws ProblemError 422 if another request used the same idempotency key. */
export async function acceptJob(
  context: AppContext,
  submission: Submission,
): Promise<Exclude<AddedJob, { kind: "conflict" }>> {
  const { store, metrics } = context;
  refuseWhenStopping(context);
  const { client, read, archive, idempotency, retryOf } = submission;
  await using written = read.source.kind === "dockerfile" ? await writeBody(store, read.source.text) : undefined;
  const body = written ?? archive?.body;
  const added = await store.add({
    job: {
      id: uuid(),
      name: read.name,
      fullName: read.fullName,
      owner: client.name,
      source: jobSource(read, archive),
      order: read.order,
      ...(retryOf !== undefined && { retryOf }),
    },
    webhookUrl: read.webhookUrl,
    body,
    credentials: read.credentials,
    idempotency,
    maxQueued: client.limits.queued,
    maxRunning: client.limits.running,
  });
  if (added.kind === "added") metrics.jobAccepted();
  if (added.kind !== "conflict") return added;
  throw new ProblemError(422, "idempotency-key-reused", "This Idempotency-Key was used for another request.", {
    expected: "a new key for a new request",
  });
}

function jobSource({ source }: ReadOrder, archive: Spooled | undefined): JobSource {
  if (source.kind === "address") return source;
  if (source.kind === "dockerfile") return { kind: "dockerfile", bytes: Buffer.byteLength(source.text) };
  if (archive === undefined) throw new Error("the archive is missing");
  return { kind: "archive", bytes: archive.bytes };
}

async function writeBody(store: JobStore, text: string): Promise<BodyFile> {
  const body = await store.newBody();
  try {
    await writeFile(body.path, text, { mode: 0o600 });
  } catch (error) {
    await body[Symbol.asyncDispose]();
    throw asNoSpace(error);
  }
  return body;
}
