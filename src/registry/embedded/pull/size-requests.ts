import type { IncomingMessage, ServerResponse } from "node:http";
import type { Digest } from "../../../image/digest.ts";
import type { PackedSize } from "../../../packing/packed-sizes.ts";
import { unknownBlob } from "./blob-requests.ts";
import { DistributionError } from "../http/distribution-error.ts";
import type { RegistryContent } from "./registry-content.ts";
import { bodyOf } from "../http/request-body.ts";

interface SizeRoute {
  repository: string;
  digest: Digest;
  query: URLSearchParams;
}

/**
 * Answers GET of the bytes that a blob would take on the link: as stored, or packed for the `rate` in the query (bytes a second). Used by a
 * dry run. An extension of the distribution spec.
 */
export async function sendPackedSize(
  response: ServerResponse,
  { repository, digest, query }: SizeRoute,
  content: RegistryContent,
): Promise<void> {
  const rate = Number(query.get("rate"));
  if (!(rate >= 1)) throw new DistributionError(400, "SIZE_INVALID", "a rate is at least 1 byte a second");
  const blob = await content.blob(repository, digest);
  if (blob === undefined) throw unknownBlob(digest);
  sendSize(response, (await blob.packedSize?.(rate)) ?? { bytes: blob.size, isExact: true });
}

/** Answers POST of the list of missing pieces with the bytes that the pieces would take on the link. */
export async function sendPiecesSize(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, digest }: SizeRoute,
  content: RegistryContent,
): Promise<void> {
  const delta = await content.delta?.(repository, digest);
  if (delta === undefined) throw unknownBlob(digest);
  let bytes = 0;
  for await (const chunk of await delta.pieces(bodyOf(request))) bytes += (chunk as Buffer).length;
  sendSize(response, { bytes, isExact: false });
}

function sendSize(response: ServerResponse, { bytes, isExact }: PackedSize): void {
  const answer = Buffer.from(JSON.stringify({ bytes, isExact }));
  response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
  response.end(answer);
}
