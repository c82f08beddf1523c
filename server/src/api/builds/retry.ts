import { constants, copyFile, readFile } from "node:fs/promises";
import { readName, type Credentials } from "docker-over-ssh/builds";
import type { Client } from "../../access/client.ts";
import { isOver, type Job } from "../../jobs/job.ts";
import type { BodyFile, JobStore } from "../../store/job-store.ts";
import { acceptJob, bodyLimits, refuseWhenFull } from "./accept-job.ts";
import type { AppContext, TypedApp } from "./app-context.ts";
import { clientOf } from "../http/auth.ts";
import { asNoSpace } from "../http/body.ts";
import { findJob, jobParams } from "./builds.ts";
import { idempotency, readIdempotencyKey } from "./idempotency.ts";
import { BUILDS } from "../shapes/job-view.ts";
import { limitsFor, refuseImage, unusable, type ReadOrder } from "./order.ts";
import { ProblemError } from "../http/problem.ts";
import { JobSchema, PROBLEMS, RetrySchema } from "../shapes/schemas.ts";
import { sendAccepted } from "./submit.ts";

/** `POST /api/v2/builds/:id/retry`: creates a job with the order and the body of a job that is over. */
export function addRetryRoute(app: TypedApp, context: AppContext): void {
  const { store, hasWebhookSecret } = context;
  app.post(
    `${BUILDS}/:id/retry`,
    {
      config: { scope: "build" },
      schema: {
        summary: "Repeat a build that is over",
        description: "Creates a build with the same order and files. Credentials are not stored: send them again.",
        tags: ["builds"],
        params: jobParams,
        body: RetrySchema,
        response: { 202: JobSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const client = clientOf(request);
      const key = readIdempotencyKey(request.headers["idempotency-key"], client.name);
      const job = await findJob(store, client, request.params.id);
      if (!isOver(job)) throw new ProblemError(409, "not-over", "The build is not over yet.");
      const order = repeatOrder(job, client, request.body?.credentials, hasWebhookSecret);
      const path = await store.bodyOf(job.id);
      if (path === undefined && job.source.kind !== "address") throw bodyGone();
      await refuseWhenFull(context, client);
      if ("bytes" in job.source) bodyLimits(context, request).onBytes?.(job.source.bytes);
      const read = { ...order, source: await sourceOf(job, path) };
      await using body = read.source.kind === "archive" ? await copyOf(store, path) : undefined;
      const archive = body && { body, bytes: "bytes" in job.source ? job.source.bytes : 0, sha256: "" };
      // The ID of the repeated job identifies its files.
      const known = idempotency(key, read, job.id);
      const added = await acceptJob(context, { client, read, archive, idempotency: known, retryOf: job.id });
      if (added.kind === "known") reply.header("idempotency-replayed", "true");
      return await sendAccepted(reply, store, added.job);
    },
  );
}

/** The current permissions of the client's token apply, not those at the time of the first job. */
function repeatOrder(
  job: Job,
  client: Client,
  credentials: Credentials | undefined,
  hasWebhookSecret: boolean,
): Omit<ReadOrder, "source"> {
  const { name, fullName, order, webhook } = job;
  refuseImage(client, readName(name));
  if (job.hasCredentials && credentials === undefined) {
    throw unusable([
      { field: "credentials", message: "are needed again: the build had some, and they are not stored" },
    ]);
  }
  const webhookUrl = hasWebhookSecret ? webhook?.url : undefined;
  const limits = limitsFor(client, order.limits.network);
  return { name, fullName, order: { ...order, limits }, credentials, webhookUrl };
}

async function sourceOf({ source }: Job, path: string | undefined): Promise<ReadOrder["source"]> {
  if (source.kind === "address") return source;
  if (source.kind === "archive" || path === undefined) return { kind: "archive" };
  return { kind: "dockerfile", text: await unlessRemoved(readFile(path, "utf8")) };
}

async function copyOf(store: JobStore, path: string | undefined): Promise<BodyFile> {
  if (path === undefined) throw bodyGone();
  const body = await store.newBody();
  try {
    await unlessRemoved(copyFile(path, body.path, constants.COPYFILE_FICLONE));
    return body;
  } catch (error) {
    await body[Symbol.asyncDispose]();
    throw asNoSpace(error);
  }
}

/** The store may remove the file at any moment, because the job is over. */
async function unlessRemoved<Result>(reading: Promise<Result>): Promise<Result> {
  try {
    return await reading;
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "ENOENT" ? bodyGone() : error;
  }
}

function bodyGone(): ProblemError {
  return new ProblemError(409, "body-gone", "The files of the build no longer exist.", {
    hint: "Submit the build again, with its files.",
  });
}
