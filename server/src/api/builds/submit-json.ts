import type { FastifyRequest } from "fastify";
import { refuseWhenFull } from "./accept-job.ts";
import type { AppContext } from "./app-context.ts";
import { clientOf } from "../http/auth.ts";
import { noBody } from "../http/no-body.ts";
import { readOrder, type ReadOrder } from "./order.ts";
import type { BuildRequest } from "../shapes/schemas.ts";

/** Reads a build from a JSON body, and passes it to `then`. */
export async function submitJson<Result>(
  request: FastifyRequest,
  context: AppContext,
  then: (read: ReadOrder, archive: undefined) => Promise<Result>,
): Promise<Result> {
  const { hasWebhookSecret, network } = context;
  const client = clientOf(request);
  if (request.body === null || request.body === undefined) throw noBody();
  const read = readOrder(request.body as BuildRequest, { client, hasArchive: false, hasWebhookSecret, network });
  await refuseWhenFull(context, client);
  return await then(read, undefined);
}
