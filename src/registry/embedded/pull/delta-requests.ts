import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Digest } from "../../../image/digest.ts";
import { PACKED_ENCODING } from "../../../packing/pack.ts";
import { unknownBlob } from "./blob-requests.ts";
import type { RegistryContent } from "./registry-content.ts";
import { bodyOf } from "../http/request-body.ts";

/** Answers GET of a layer's recipe, and POST of the list of missing pieces. An extension of the distribution spec. */
export async function sendDelta(
  request: IncomingMessage,
  response: ServerResponse,
  { kind, repository, digest }: { kind: "recipe" | "pieces"; repository: string; digest: Digest },
  content: RegistryContent,
): Promise<void> {
  const delta = await content.delta?.(repository, digest);
  if (delta === undefined) throw unknownBlob(digest);
  const answer = kind === "recipe" ? delta.recipe() : await delta.pieces(bodyOf(request));
  response.writeHead(200, { "content-type": "application/octet-stream", "content-encoding": PACKED_ENCODING });
  await pipeline(answer, response);
}
