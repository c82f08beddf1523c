import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Digest } from "../../../image/digest.ts";
import { PACKED_ENCODING } from "../../../packing/pack.ts";
import type { PackedPart, RegistryContent } from "./registry-content.ts";
import { DistributionError } from "../http/distribution-error.ts";
import { exactLength } from "./exact-length.ts";
import { readRange } from "./range.ts";

/** Answers GET and HEAD of a blob (spec, "Pulling blobs"), also of a range (RFC 9110, section 14). */
export async function sendBlob(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, digest }: { repository: string; digest: Digest },
  content: RegistryContent,
): Promise<void> {
  const blob = await content.blob(repository, digest);
  if (blob === undefined) throw unknownBlob(digest);
  if (request.method === "HEAD") return describeBlob(response, digest, blob.size);

  const range = readRange(rangeOf(request, digest), blob.size);
  if (range === "unsatisfiable") {
    throw new DistributionError(416, "SIZE_INVALID", `the blob has ${blob.size} bytes`, {
      "content-range": `bytes */${blob.size}`,
    });
  }
  if (blob.packed !== undefined && request.headers["accept-encoding"] === PACKED_ENCODING) {
    return await sendPacked(response, digest, blob.size, blob.packed(range?.first ?? 0));
  }
  const length = range === undefined ? blob.size : range.last - range.first + 1;
  const source = await blob.open(range);
  response.writeHead(range === undefined ? 200 : 206, {
    ...headersOf(digest, length),
    ...(range !== undefined && { "content-range": `bytes ${range.first}-${range.last}/${blob.size}` }),
  });
  await pipeline(source, exactLength(length), response);
}

/**
 * Sends a packed blob. Deviates from RFC 9110, section 14.4: the range counts plain bytes, because the packed bytes have no known length,
 * and differ each time. The range always extends to the end of the blob.
 */
async function sendPacked(
  response: ServerResponse,
  digest: Digest,
  size: number,
  { first, stream }: PackedPart,
): Promise<void> {
  const { "content-length": _plainLength, ...headers } = headersOf(digest, size);
  response.writeHead(first === 0 ? 200 : 206, {
    ...headers,
    "content-encoding": PACKED_ENCODING,
    ...(first > 0 && { "content-range": `bytes ${first}-${size - 1}/${size}` }),
  });
  await pipeline(stream, response);
}

/** Answers HEAD of a present blob. */
export function describeBlob(response: ServerResponse, digest: Digest, size: number): void {
  response.writeHead(200, headersOf(digest, size));
  response.end();
}

export function unknownBlob(digest: Digest): DistributionError {
  return new DistributionError(404, "BLOB_UNKNOWN", `there is no blob ${digest}`);
}

function headersOf(digest: Digest, length: number) {
  return {
    "content-type": "application/octet-stream",
    "content-length": length,
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    "accept-ranges": "bytes",
  };
}

/** Returns the requested range, unless it is for another version of the blob (`If-Range`, RFC 9110, section 13.1.5). */
function rangeOf({ headers }: IncomingMessage, digest: Digest): string | undefined {
  const condition = headers["if-range"];
  return condition === undefined || condition === `"${digest}"` ? headers.range : undefined;
}
