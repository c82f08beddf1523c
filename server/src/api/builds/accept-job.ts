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

/** What the client of a request may send: its token's limit, or the server's. */
export function bodyLimits({ settings }: AppContext, request: FastifyRequest): BodyLimits {
  const { idle } = settings.upload;
  const { limits } = clientOf(request);
  const maxBody = Math.min(limits.body ?? settings.upload.maxBody, settings.upload.maxBody);
  return { maxBody, idle, onBytes: (count) => countBytes(request, count, maxBody) };
}

/** Refuses a job before its body is read, when there is no place for it, or the service stops. It is decided once more when the body is there. */
export async function refuseWhenFull(context: AppContext, { name, limits }: Client): Promise<void> {
  const { store, settings } = context;
  refuseWhenStopping(context);
  const { queued } = await store.counts();
  if (queued >= settings.maxQueued) throw queueFull("The server has as many queued jobs as it takes.");
  if (limits.queued === undefined) return;
  const own = await store.counts(name);
  if (own.queued >= limits.queued) throw queueFull("This token has as many queued jobs as it may have.");
}

/** A job that came with credentials would lose them with the process. */
function refuseWhenStopping({ stopping }: AppContext): void {
  if (!stopping?.aborted) return;
  throw new ProblemError(503, "stopping", "The server is stopping, and takes no builds.", {
    headers: { "retry-after": "30" },
  });
}

function queueFull(detail: string): ProblemError {
  return new ProblemError(429, "queue-full", detail, { headers: { "retry-after": "30" } });
}

export interface JobParts {
  client: Client;
  read: ReadOrder;
  archive?: Archive | undefined;
  idempotency?: Idempotency | undefined;
  retryOf?: string | undefined;
}

/** Gives a job to the store. Throws ProblemError 422 when its idempotency key was used for another request. */
export async function acceptJob(
  context: AppContext,
  parts: JobParts,
): Promise<Exclude<AddedJob, { kind: "conflict" }>> {
  const { store, metrics } = context;
  refuseWhenStopping(context);
  const { client, read, archive, idempotency, retryOf } = parts;
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
  if (archive === undefined) throw new Error("an archive was promised");
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
