import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { isDigest, type Digest } from "../../../image/digest.ts";
import { DistributionError } from "../http/distribution-error.ts";
import type { PushSession } from "./push-session.ts";
import { announcedLength } from "../http/request-body.ts";
import { readDigest } from "../http/route.ts";
import type { Upload } from "./upload.ts";

/**
 * The requests of an upload (OCI distribution spec 1.1, "Push"). An upload that fails is removed: engines start a new one.
 */

interface UploadTarget {
  repository: string;
  query: URLSearchParams;
}

/** POST: starts an upload. With `digest`, the body is the whole blob. With `mount`, a present blob needs no upload. */
export async function startUpload(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, query }: UploadTarget,
  session: PushSession,
): Promise<void> {
  const mount = query.get("mount");
  if (isDigest(mount) && session.policy.presentSize(mount, "") !== undefined) {
    return answer(response, 201, blobHeaders(repository, mount));
  }
  const digest = query.has("digest") ? readDigest(query.get("digest")) : undefined;
  const beforeChunk = await session.policy.beforeUpload?.(digest);
  const upload = await session.startUpload(beforeChunk);
  if (digest === undefined) return answer(response, 202, uploadHeaders(repository, upload));
  await appendBody(request, repository, upload, session);
  await session.finish(upload, digest);
  answer(response, 201, blobHeaders(repository, digest));
}

/** PATCH: appends a chunk. */
export async function appendToUpload(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, id }: UploadTarget & { id: string },
  session: PushSession,
): Promise<void> {
  const upload = session.find(id);
  await appendBody(request, repository, upload, session);
  answer(response, 202, uploadHeaders(repository, upload));
}

/** PUT: appends a last chunk, if any, and ends the upload with the blob's digest. */
export async function finishUpload(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, id, query }: UploadTarget & { id: string },
  session: PushSession,
): Promise<void> {
  const upload = session.find(id);
  const digest = readDigest(query.get("digest"));
  const size = announcedLength(request);
  if (size !== undefined && size > 0 && upload.file.size === 0) {
    session.policy.blobArriving?.({ digest, size, open: (range) => upload.file.read(range) });
  }
  // Some clients send the range of earlier chunks with an empty body. This range is ignored.
  if (size !== 0) await appendBody(request, repository, upload, session);
  await session.finish(upload, digest);
  answer(response, 201, blobHeaders(repository, digest));
}

/** GET: reports the number of received bytes. */
export function describeUpload(
  response: ServerResponse,
  { repository, id }: UploadTarget & { id: string },
  session: PushSession,
): void {
  answer(response, 204, uploadHeaders(repository, session.find(id)));
}

/** DELETE: removes an unfinished upload. */
export async function cancelUpload(
  response: ServerResponse,
  { id }: UploadTarget & { id: string },
  session: PushSession,
): Promise<void> {
  await session.cancel(session.find(id));
  answer(response, 204, {});
}

/** Appends a request's body, and removes the upload if that fails. */
async function appendBody(
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
