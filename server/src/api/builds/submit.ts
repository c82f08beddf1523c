import type { FastifyReply } from "fastify";
import type { Job } from "../../jobs/job.ts";
import type { JobStore } from "../../store/job-store.ts";
import { acceptJob, bodyLimits, refuseWhenFull, type Submission } from "./accept-job.ts";
import type { AppContext, TypedApp } from "./app-context.ts";
import { clientOf } from "../http/auth.ts";
import { spoolBody, tooLarge } from "../http/body.ts";
import { FORM_TYPE } from "../http/body-multipart.ts";
import { submitForm } from "./submit-form.ts";
import { expectBody, mediaTypeOf } from "../http/expect-body.ts";
import { idempotency, readIdempotencyKey } from "./idempotency.ts";
import { BUILDS, jobView } from "../shapes/job-view.ts";
import { readOrder } from "./order.ts";
import { ProblemError } from "../http/problem.ts";
import { buildOfQuery } from "./query.ts";
import {
  BuildQuerySchema,
  BuildSchema,
  JobSchema,
  MultipartSchema,
  PROBLEMS,
  type BuildRequest,
} from "../shapes/schemas.ts";

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
  const { store, hasWebhookSecret, network } = context;
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
      const isForm = request.isMultipart();
      const isArchive = !isForm && ARCHIVE_TYPES.includes(mediaTypeOf(request));
      if (!isArchive && Object.keys(request.query).length > 0) {
        throw new ProblemError(
          400,
          "invalid",
          "A query is only for a plain archive; the fields of this request belong in the body.",
        );
      }
      if (isForm) {
        return await submitForm(request, context, async (read, archive) =>
          answer(reply, { client, read, archive, idempotency: idempotency(key, read, archive?.sha256) }),
        );
      }
      if (!isArchive) {
        if (request.body === null || request.body === undefined) throw noBody();
        const read = readOrder(request.body as BuildRequest, { client, hasArchive: false, hasWebhookSecret, network });
        await refuseWhenFull(context, client);
        return await answer(reply, { client, read, idempotency: idempotency(key, read, undefined) });
      }
      const read = readOrder(buildOfQuery(request), { client, hasArchive: true, hasWebhookSecret, network });
      const limits = bodyLimits(context, request);
      if (Number(request.headers["content-length"] ?? 0) > limits.maxBody) throw tooLarge(limits.maxBody);
      await refuseWhenFull(context, client);
      await using body = await store.newBody();
      expectBody(request);
      const spooled = await spoolBody(request.raw, body.path, limits);
      if (spooled.bytes === 0) throw noBody();
      const known = idempotency(key, read, spooled.sha256);
      return await answer(reply, { client, read, archive: { ...spooled, body }, idempotency: known });
    },
  });

  async function answer(reply: FastifyReply, submission: Submission): Promise<FastifyReply> {
    const { kind, job } = await acceptJob(context, submission);
    if (kind === "known") reply.header("idempotency-replayed", "true");
    return await sendAccepted(reply, store, job);
  }
}

/** Sends 202 with an accepted job and its address. */
export async function sendAccepted(reply: FastifyReply, store: JobStore, job: Job): Promise<FastifyReply> {
  // The job is accepted: a later failure must not make the request look rejected.
  const position = await store.position(job.id).catch(() => undefined);
  return reply.status(202).header("location", `${BUILDS}/${job.id}`).send(jobView(job, { position }));
}

function noBody(): ProblemError {
  return new ProblemError(400, "malformed", "The body is empty.");
}
