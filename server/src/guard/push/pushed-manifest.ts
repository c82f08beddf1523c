import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { MAX_MANIFEST } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/**
 * The accepted types, without Docker's schema 1. Docker 20.10 falls back to schema 1 when a registry refuses schema 2, and the final error would be about
 * schema 1.
 */
const TYPES = new Set([
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
]);

/**
 * Reads a manifest, and compares it with the digest under which the engine sends it.
 *
 * @param digest undefined for a tag
 * @throws Refusal 400, 413
 */
export async function readManifest(
  request: IncomingMessage,
  digest: string | undefined,
): Promise<{ body: Buffer; type: string }> {
  const type = request.headers["content-type"] ?? "";
  if (!TYPES.has(type)) throw invalid(`manifests of the type ${type.slice(0, 100)} are not pushed`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_MANIFEST) throw invalid("the image's manifest is larger than 4 MB", 413);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const [algorithm = "", hex] = digest?.split(":") ?? [];
  if (digest !== undefined && createHash(algorithm).update(body).digest("hex") !== hex)
    throw invalid(`the manifest ${digest} has another digest`);
  return { body, type };
}

function invalid(message: string, statusCode = 400): Refusal {
  return new Refusal("push.manifest", message, { statusCode });
}
