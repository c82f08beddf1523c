import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { isDigest, type Digest } from "../../image/digest.ts";
import { DistributionError } from "./distribution-error.ts";
import type { PushSession } from "./push-session.ts";
import { announcedLength } from "./request-body.ts";
import { readDigest } from "./route.ts";
import type { Upload } from "./upload.ts";

/** The requests of an upload (OCI distribution spec 1.1, "Push"). An upload that fails is forgotten: engines begin anew. */

interface ImageLocation {
  repository: string;
  query: URLSearchParams;
}

/** POST: begins an upload; with `digest` the body is all of it; with `mount` nothing is needed when the blob is here. */
export async function beginUpload(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, query }: ImageLocation,
  session: PushSession,
): Promise<void> {
  const mount = query.get("mount");
  if (isDigest(mount) && session.policy.presentSize(mount, "") !== undefined) {
    return answer(response, 201, blobHeaders(repository, mount));
  }
  const digest = query.has("digest") ? readDigest(query.get("digest")) : undefined;
  const proxy = await session.policy.uploadBegins?.(digest);
  const upload = await session.open(proxy);
  if (digest === undefined) return answer(response, 202, uploadHeaders(repository, upload));
  await receive(request, repository, upload, session);
  await session.finish(upload, digest);
  answer(response, 201, blobHeaders(repository, digest));
}

/** PATCH: a chunk, at the place that it names or at the end. */
export async function appendToUpload(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, id }: ImageLocation & { id: string },
  session: PushSession,
): Promise<void> {
  const upload = session.find(id);
  await receive(request, repository, upload, session);
  answer(response, 202, uploadHeaders(repository, upload));
}

/** PUT: perhaps a last chunk, and the digest of the whole. */
export async function endUpload(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, id, query }: ImageLocation & { id: string },
  session: PushSession,
): Promise<void> {
  const upload = session.find(id);
  const digest = readDigest(query.get("digest"));
  const size = announcedLength(request);
  if (size !== undefined && size > 0 && upload.file.size === 0) {
    session.policy.arriving?.({ digest, size, open: (range) => upload.file.read(range) });
  }
  // Some clients say of what they have sent before where it was: there is nothing to be placed in an empty body.
  if (size !== 0) await receive(request, repository, upload, session);
  await session.finish(upload, digest);
  answer(response, 201, blobHeaders(repository, digest));
}

/** GET: how far it is. */
export function describeUpload(
  response: ServerResponse,
  { repository, id }: ImageLocation & { id: string },
  session: PushSession,
): void {
  answer(response, 204, uploadHeaders(repository, session.find(id)));
}

/** DELETE: it will not be finished. */
export async function cancelUpload(
  response: ServerResponse,
  { id }: ImageLocation & { id: string },
  session: PushSession,
): Promise<void> {
  await session.cancel(session.find(id));
  answer(response, 204, {});
}

async function receive(
  request: IncomingMessage,
  repository: string,
  upload: Upload,
  session: PushSession,
): Promise<void> {
  try {
    await upload.append(request);
  } catch (error) {
    if (error instanceof DistributionError && error.status === 416) {
      throw new DistributionError(416, error.code, error.message, uploadHeaders(repository, upload));
    }
    await session.cancel(upload);
    throw error;
  }
}

function uploadHeaders(repository: string, { id, range }: Upload): OutgoingHttpHeaders {
  return { location: `/v2/${repository}/blobs/uploads/${id}`, range, "docker-upload-uuid": id };
}

function blobHeaders(repository: string, digest: Digest): OutgoingHttpHeaders {
  return { location: `/v2/${repository}/blobs/${digest}`, "docker-content-digest": digest };
}

function answer(response: ServerResponse, status: number, headers: OutgoingHttpHeaders): void {
  response.writeHead(status, status === 204 ? headers : { ...headers, "content-length": 0 });
  response.end();
}
