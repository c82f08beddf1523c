import type { IncomingMessage, ServerResponse } from "node:http";
import { digestOf, isDigest } from "../../../image/digest.ts";
import { MAX_MANIFEST, parseManifest } from "../../../image/manifest.ts";
import type { RegistryContent } from "../pull/registry-content.ts";
import { DistributionError } from "../http/distribution-error.ts";
import type { PushedManifest, PushPolicy } from "./push-policy.ts";
import { announcedLength, bodyOf } from "../http/request-body.ts";
import { InvalidImage } from "../../../image/invalid-image.ts";

interface ManifestTarget {
  repository: string;
  /** A tag or a digest. */
  reference: string;
}

/** Answers GET and HEAD of a manifest (spec, "Pulling manifests"). Ignores the Accept header: each manifest has one form. */
export async function sendManifest(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, reference }: ManifestTarget,
  content: RegistryContent,
): Promise<void> {
  const manifest = await content.manifest(repository, reference);
  if (manifest === undefined) {
    throw new DistributionError(404, "MANIFEST_UNKNOWN", `there is no manifest ${reference} in ${repository}`);
  }
  response.writeHead(200, {
    "content-type": manifest.mediaType,
    "content-length": manifest.bytes.length,
    "docker-content-digest": manifest.digest,
    etag: `"${manifest.digest}"`,
  });
  response.end(request.method === "HEAD" ? undefined : manifest.bytes);
}

/** Answers PUT of a manifest (spec, "Pushing Manifests"): passes its exact bytes to the policy. */
export async function receiveManifest(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, reference }: ManifestTarget,
  policy: PushPolicy,
): Promise<void> {
  const bytes = await readManifest(request);
  const digest = digestOf(bytes);
  if (isDigest(reference) && reference !== digest) {
    throw new DistributionError(400, "DIGEST_INVALID", `the manifest has the digest ${digest}, not ${reference}`);
  }
  await policy.manifestReceived({ reference, digest, bytes, ...parse(bytes, request.headers["content-type"]) });
  response.writeHead(201, {
    location: `/v2/${repository}/manifests/${reference}`,
    "docker-content-digest": digest,
    "content-length": 0,
  });
  response.end();
}

async function readManifest(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = new DistributionError(413, "SIZE_INVALID", "a manifest may have at most 4 MB");
  if ((announcedLength(request) ?? 0) > MAX_MANIFEST) throw tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bodyOf(request)) {
    size += chunk.length;
    if (size > MAX_MANIFEST) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Parses a manifest. Its media type is the field in it, or the Content-Type header. The two must not differ. */
function parse(bytes: Buffer, header = ""): Pick<PushedManifest, "mediaType" | "parsed"> {
  const contentType = header.split(";")[0]?.trim() ?? "";
  try {
    const parsed = parseManifest(bytes);
    const { mediaType: own } = JSON.parse(bytes.toString("utf8")) as { mediaType?: unknown };
    if (own === undefined && contentType !== "") return { parsed, mediaType: contentType };
    if (contentType === "" || contentType === parsed.mediaType) return { parsed, mediaType: parsed.mediaType };
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
    throw new DistributionError(400, "MANIFEST_INVALID", error.message);
  }
  throw new DistributionError(400, "MANIFEST_INVALID", "its media type is not that of the Content-Type header");
}
