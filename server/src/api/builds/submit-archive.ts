import type { FastifyRequest } from "fastify";
import { bodyLimits, refuseWhenFull } from "./accept-job.ts";
import type { AppContext } from "./app-context.ts";
import { clientOf } from "../http/auth.ts";
import { spoolBody, tooLarge, type Archive } from "../http/body.ts";
import { expectBody } from "../http/expect-body.ts";
import { noBody } from "../http/no-body.ts";
import { readOrder, type ReadOrder } from "./order.ts";
import { buildOfQuery } from "./query.ts";
import type { BuildQuery } from "../shapes/schemas.ts";

/** Reads a build from the query and its archive from the body, and passes both to `then`. */
export async function submitArchive<Result>(
  request: FastifyRequest,
  context: AppContext,
  then: (read: ReadOrder, archive: Archive) => Promise<Result>,
): Promise<Result> {
  const { store, hasWebhookSecret, network } = context;
  const client = clientOf(request);
  const build = buildOfQuery(request as FastifyRequest<{ Querystring: BuildQuery }>); // checked by the schema of the route
  const read = readOrder(build, { client, hasArchive: true, hasWebhookSecret, network });
  const limits = bodyLimits(context, request);
  if (Number(request.headers["content-length"] ?? 0) > limits.maxBody) throw tooLarge(limits.maxBody);
  await refuseWhenFull(context, client);
  await using body = await store.newBody();
  expectBody(request);
  const spooled = await spoolBody(request.raw, body.path, limits);
  if (spooled.bytes === 0) throw noBody();
  return await then(read, { ...spooled, body });
}
