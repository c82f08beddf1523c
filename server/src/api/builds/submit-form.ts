import type { FastifyRequest } from "fastify";
import { bodyLimits, refuseWhenFull } from "./accept-job.ts";
import type { AppContext } from "./app-context.ts";
import { clientOf } from "../http/auth.ts";
import { bodyOwner, readText, spoolBody, type Archive } from "../http/body.ts";
import { readParts } from "../http/body-multipart.ts";
import { expectBody } from "../http/expect-body.ts";
import { MAX_JSON, parseJson } from "../http/json-body.ts";
import { readOrder, type ReadOrder } from "./order.ts";
import { ProblemError } from "../http/problem.ts";
import { BuildSchema, type BuildRequest } from "../shapes/schemas.ts";

/**
 * Reads a form with the parts `build` and `archive`, and calls `then` when it is complete. Validates the build before
 * it reads an archive that follows it. An archive that precedes the build is read up to its limit, and removed if the
 * build is rejected.
 */
export async function submitForm<Result>(
  request: FastifyRequest,
  context: AppContext,
  then: (read: ReadOrder, archive: Archive | undefined) => Promise<Result>,
): Promise<Result> {
  const { hasWebhookSecret, network } = context;
  const client = clientOf(request);
  const limits = bodyLimits(context, request);
  await refuseWhenFull(context, client);
  let build: BuildRequest | undefined;
  let archive: Archive | undefined;
  const check = (hasArchive: boolean | undefined): ReadOrder | undefined =>
    build && readOrder(build, { client, hasArchive, hasWebhookSecret, network });
  expectBody(request);
  await using owner = bodyOwner();
  await readParts(request, async ({ name, stream }) => {
    if (name === "build" && build === undefined) {
      build = readBuild(request, await readText(stream, { ...limits, maxBody: MAX_JSON }));
      check(archive === undefined ? undefined : true);
    } else if (name === "archive" && archive === undefined) {
      check(true);
      const body = owner.own(await context.store.newBody());
      archive = { ...(await spoolBody(stream, body.path, limits)), body };
    } else throw unknownPart(name);
  });
  const read = check(archive !== undefined && archive.bytes > 0);
  if (read === undefined) throw invalid([{ field: "build", message: "is required" }]);
  return await then(read, archive);
}

function readBuild(request: FastifyRequest, text: string): BuildRequest {
  const value = parseJson(text);
  const validate = request.compileValidationSchema(BuildSchema, "body");
  if (validate(value)) return value as BuildRequest;
  throw Object.assign(new Error("invalid"), { validation: validate.errors ?? [], validationContext: "body" });
}

function unknownPart(name: string): ProblemError {
  const isTwice = name === "build" || name === "archive";
  return invalid([{ field: name.slice(0, 100), message: isTwice ? "is given twice" : "is not a part of this form" }]);
}

function invalid(errors: { field: string; message: string }[]): ProblemError {
  return new ProblemError(400, "invalid", "The form is not valid.", { errors });
}
