import type { FastifyReply, FastifyRequest } from "fastify";
import type { Job } from "../../jobs/job.ts";
import type { JobStore } from "../../store/job-store.ts";
import { acceptJob } from "./accept-job.ts";
import type { AppContext, TypedApp } from "./app-context.ts";
import { clientOf } from "../http/auth.ts";
import { FORM_TYPE } from "../http/body-multipart.ts";
import { submitArchive } from "./submit-archive.ts";
import { submitForm } from "./submit-form.ts";
import { submitJson } from "./submit-json.ts";
import { mediaTypeOf } from "../http/expect-body.ts";
import { idempotency, readIdempotencyKey } from "./idempotency.ts";
import { BUILDS, jobView } from "../shapes/job-view.ts";
import { ProblemError } from "../http/problem.ts";
import { BuildQuerySchema, BuildSchema, JobSchema, MultipartSchema, PROBLEMS } from "../shapes/schemas.ts";

/**
 * Content types of an archive body. The first bytes of the body decide its format: the type does not have to be right.
 */
export const ARCHIVE_TYPES = [
  "application/x-tar",
  "application/tar",
  "application/gzip",
  "application/x-gzip",
  "application/x-bzip2",
  "application/x-xz",
  "application/zstd",
  "application/zip",
  "application/octet-stream",
];

/** `POST /api/v2/builds`: accepts JSON, a form with an archive, or an archive with a query. */
export function addSubmitRoute(app: TypedApp, context: AppContext): void {
  const archive = Object.fromEntries(ARCHIVE_TYPES.map((type) => [type, { schema: {} }]));
  app.route({
    method: "POST",
    url: BUILDS,
    config: { scope: "build", streams: [FORM_TYPE, ...ARCHIVE_TYPES] },
    schema: {
      summary: "Submit a build",
      description:
        "Accepts JSON; a form with the parts `build`, which is that JSON, and `archive`; or a plain archive, with the fields in the query and " +
        "credentials, if any, in the header `X-Registry-Auth` (base64url of JSON). With `Idempotency-Key`, a repeated request returns the same build; " +
        "a different request with the same key returns 422.",
      tags: ["builds"],
      querystring: BuildQuerySchema,
      body: {
        content: {
          "application/json": { schema: BuildSchema },
          [FORM_TYPE]: { schema: MultipartSchema },
          ...archive,
        },
      },
      response: { 202: JobSchema, ...PROBLEMS },
    },
    handler: async (request, reply) => {
      const client = clientOf(request);
      const key = readIdempotencyKey(request.headers["idempotency-key"], client.name);
      const submit = submitterOf(request);
      return await submit(request, context, async (read, archive) => {
        const known = idempotency(key, read, archive?.sha256);
        const { kind, job } = await acceptJob(context, { client, read, archive, idempotency: known });
        if (kind === "known") reply.header("idempotency-replayed", "true");
        return await sendAccepted(reply, context.store, job);
      });
    },
  });
}

/** Returns the function that reads a request. Throws ProblemError 400 for a query that is not for a plain archive. */
function submitterOf(request: FastifyRequest): typeof submitForm<FastifyReply> {
  const isForm = request.isMultipart();
  if (!isForm && ARCHIVE_TYPES.includes(mediaTypeOf(request))) return submitArchive;
  if (Object.keys(request.query as object).length > 0) {
    throw new ProblemError(
      400,
      "invalid",
      "A query is only for a plain archive; the fields of this request belong in the body.",
    );
  }
  return isForm ? submitForm : submitJson;
}

/** Sends 202 with an accepted job and its address. */
export async function sendAccepted(reply: FastifyReply, store: JobStore, job: Job): Promise<FastifyReply> {
  // The job is accepted: a later failure must not make the request look rejected.
  const position = await store.position(job.id).catch(() => undefined);
  return reply.status(202).header("location", `${BUILDS}/${job.id}`).send(jobView(job, { position }));
}
