import { Readable } from "node:stream";
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import type { Job } from "../../jobs/job.ts";
import type { JobStore, LogPiece } from "../../store/job-store.ts";
import { acceptJob, bodyLimits, refuseWhenFull } from "../builds/accept-job.ts";
import type { AppContext } from "../builds/app-context.ts";
import { clientOf } from "../http/auth.ts";
import { acceptMultipart, FORM_TYPE, readParts } from "../http/body-multipart.ts";
import { bodyOwner, readText, spoolBody, type Archive } from "../http/body.ts";
import { findJob } from "../builds/builds.ts";
import { expectBody } from "../http/expect-body.ts";
import { MAX_JSON, parseJson } from "../http/json-body.ts";
import type { ReadOrder } from "../builds/order.ts";
import { asProblem, prepareAnswer, ProblemError } from "../http/problem.ts";
import { readV1Order } from "./v1-request.ts";

/** Bytes of a log that are read at once */
const CHUNK = 256 * 1024;
const NO_JOB = "Jobid doesn't exist in the cache.  Bad request.";
const TEXT = { type: "string" };

const BUILD_TEXT =
  "Accepts JSON with image_name, and dockerfile or tarUrl; username, password and email if needed. Or accepts a form with the parts " +
  "TarFile, and Json, which has the same fields.";

type OnError = ((error: unknown) => void) | undefined;

/**
 * tutum-builder's API for its clients, with its messages and its JSON. It accepts JSON with any content type, as
 * tutum-builder did, and its forms with the parts in either order. Register it with its prefix, `/api/v1`.
 */
export function v1Routes(context: AppContext & { onError?: OnError }): FastifyPluginAsync {
  const { store, network } = context;
  return async (app) => {
    acceptMultipart(app);
    acceptAnyJson(app);
    answerErrors(app, context.onError);

    app.route({
      method: "POST",
      url: "/build",
      config: { scope: "build", streams: [FORM_TYPE] },
      schema: v1Schema("Build, push and purge an image", BUILD_TEXT, { JobIdentifier: TEXT }),
      handler: async (request, reply) => {
        const client = clientOf(request);
        await refuseWhenFull(context, client);
        const id = request.isMultipart()
          ? await submitV1Form(request, context, submit)
          : await submit(readV1Order(request.body, { client, hasArchive: false, network }));
        return await sendV1(reply, { JobIdentifier: id });

        async function submit(read: ReadOrder, archive?: Archive): Promise<string> {
          return (await acceptJob(context, { client, read, archive })).job.id;
        }
      },
    });

    app.route<{ Params: { id: string } }>({
      method: "GET",
      url: "/:id/status",
      config: { scope: "read" },
      schema: v1Schema("Get the state of a build", "`Building`, `Pushing`, `Finished`, or the error", { Status: TEXT }),
      handler: async (request, reply) =>
        await sendV1(reply, { Status: v1Status(await findJob(store, clientOf(request), request.params.id)) }),
    });

    app.route<{ Params: { id: string } }>({
      method: "GET",
      url: "/:id/logs",
      config: { scope: "read" },
      schema: v1Schema("Read the log of a build", "The log so far", { Logs: TEXT }),
      handler: async (request, reply) => {
        const { id } = await findJob(store, clientOf(request), request.params.id);
        // Read before the response begins, because it can still be an error at that point.
        const first = await store.readLog(id, { limit: CHUNK });
        return await reply.type("application/json").send(Readable.from(logJson(store, id, first)));
      },
    });
  };
}

/** Returns tutum-builder's text for a state. */
function v1Status({ state, reason }: Job): string {
  if (state === "queued" || state === "running") return "Building";
  if (state === "pushing") return "Pushing";
  if (state === "succeeded") return "Finished";
  return `Failed: ${reason?.message ?? state}`;
}

/** The two parts arrive in tutum-builder's order, `TarFile` first, or in the opposite order. */
async function submitV1Form(
  request: FastifyRequest,
  context: AppContext,
  submit: (read: ReadOrder, archive: Archive | undefined) => Promise<string>,
): Promise<string> {
  const client = clientOf(request);
  const limits = bodyLimits(context, request);
  const { network } = context;
  let json: { value: unknown } | undefined;
  let archive: Archive | undefined;
  await using owner = bodyOwner();
  expectBody(request);
  await readParts(request, async ({ name, stream }) => {
    const known = name.toLowerCase();
    if (known === "json" && json === undefined) {
      json = { value: parseJson(await readText(stream, { ...limits, maxBody: MAX_JSON })) };
      readV1Order(json.value, { client, hasArchive: archive && true, network });
    } else if (known === "tarfile" && archive === undefined) {
      const body = owner.own(await context.store.newBody());
      archive = { ...(await spoolBody(stream, body.path, limits)), body };
    } else throw new ProblemError(400, "invalid", `The form has an unexpected part ${JSON.stringify(name)}.`);
  });
  const hasArchive = archive !== undefined && archive.bytes > 0;
  return await submit(
    readV1Order(json?.value ?? {}, { client, hasArchive, network }),
    hasArchive ? archive : undefined,
  );
}

async function* logJson(store: JobStore, id: string, first: LogPiece): AsyncGenerator<string> {
  yield '{\n  "Logs": "';
  for (let piece = first; piece.lines.length > 0;) {
    yield JSON.stringify(piece.lines.map(({ text }) => `${text}\n`).join("")).slice(1, -1);
    const after = piece.lines.at(-1)?.id;
    if (piece.isLast) break;
    piece = await store.readLog(id, { after, limit: CHUNK });
  }
  yield '"\n}';
}

function acceptAnyJson(app: FastifyInstance): void {
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("*", { parseAs: "string", bodyLimit: MAX_JSON }, (_request, text, done) => {
    try {
      done(null, parseJson(String(text)));
    } catch (error) {
      done(error instanceof Error ? error : new Error("unexpected"));
    }
  });
}

/** tutum-builder answered 400 to every unusable request. */
function answerErrors(app: FastifyInstance, onError: OnError): void {
  app.setErrorHandler(async (error, _request, reply) => {
    const problem = asProblem(error);
    if (problem.status === 500) onError?.(error);
    prepareAnswer(reply, problem);
    if (problem.status === 422) reply.status(400);
    const isMissingJob = problem.status === 404;
    return await sendV1(reply, { Error: isMissingJob ? NO_JOB : problem.message });
  });
  app.setNotFoundHandler(async (_request, reply) => await sendV1(reply.status(404), { Error: "Resource not found" }));
}

/** Keeps tutum-builder's spaces, because people read these responses in curl. */
function sendV1(reply: FastifyReply, body: Readonly<Record<string, string>>): FastifyReply {
  return reply.type("application/json").send(JSON.stringify(body, null, 2));
}

function v1Schema(summary: string, description: string, properties: Readonly<Record<string, object>>): object {
  const answer = (fields: object): object => ({ type: "object", properties: fields });
  return {
    summary,
    description,
    tags: ["v1"],
    response: { 200: answer(properties), "4xx": answer({ Error: TEXT }), "5xx": answer({ Error: TEXT }) },
  };
}
