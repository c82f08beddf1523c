import type { IncomingMessage, ServerResponse } from "node:http";
import { digestOf, isDigest } from "../../image/digest.ts";
import { MAX_MANIFEST, parseManifest } from "../../image/manifest.ts";
import type { RegistryContent } from "./registry-content.ts";
import { DistributionError } from "./distribution-error.ts";
import type { PushedManifest, PushPolicy } from "./push-policy.ts";
import { announcedLength, bodyOf } from "./request-body.ts";
import { InvalidImage } from "../../image/invalid-image.ts";

interface ImageLocation {
  repository: string;
  /** A tag or a digest. */
  reference: string;
}

/** GET and HEAD of a manifest (spec, "Pulling manifests"). What a client accepts is not asked: there is one form of each. */
export async function sendManifest(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, reference }: ImageLocation,
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

/** PUT of a manifest (spec, "Pushing Manifests"). It is handed to the policy with the very bytes that came. */
export async function takeManifest(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, reference }: ImageLocation,
  policy: PushPolicy,
): Promise<void> {
  const bytes = await readManifest(request);
  const digest = digestOf(bytes);
  if (isDigest(reference) && reference !== digest) {
    throw new DistributionError(400, "DIGEST_INVALID", `what came is not ${reference}`);
  }
  await policy.manifest({ reference, digest, bytes, ...understand(bytes, request.headers["content-type"]) });
  response.writeHead(201, {
    location: `/v2/${repository}/manifests/${reference}`,
    "docker-content-digest": digest,
    "content-length": 0,
  });
  response.end();
}

async function readManifest(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = new DistributionError(413, "SIZE_INVALID", "a manifest may have 4 MB");
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

function understand(bytes: Buffer, contentType = ""): Pick<PushedManifest, "mediaType" | "parsed"> {
  const announced = contentType.split(";")[0]?.trim() ?? "";
  try {
    const parsed = parseManifest(bytes);
    const { mediaType: own } = JSON.parse(bytes.toString("utf8")) as { mediaType?: unknown };
    if (own === undefined && announced !== "") return { parsed, mediaType: announced };
    if (announced === "" || announced === parsed.mediaType) return { parsed, mediaType: parsed.mediaType };
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
    throw new DistributionError(400, "MANIFEST_INVALID", error.message);
  }
  throw new DistributionError(400, "MANIFEST_INVALID", "its media type is not the one that it was announced with");
}
