import type { IncomingMessage, ServerResponse } from "node:http";
import type { Credentials } from "../../engine/credentials.ts";
import type { Detail } from "../../output/details.ts";
import { messageOf } from "../../output/errors.ts";
import { isAuthorized } from "../password.ts";
import type { ConnectionLimiter } from "../connection-limiter.ts";
import { describeBlob, sendBlob, unknownBlob } from "./pull/blob-requests.ts";
import { NO_CONTENT, type RegistryContent } from "./pull/registry-content.ts";
import { DistributionError } from "./http/distribution-error.ts";
import type { PushSession } from "./push/push-session.ts";
import { receiveManifest, sendManifest } from "./push/manifest-requests.ts";
import { ignoreBody } from "./http/request-body.ts";
import { readRoute, type Route } from "./http/route.ts";
import { sendDelta } from "./pull/delta-requests.ts";
import { sendPackedSize, sendPiecesSize } from "./pull/size-requests.ts";
import { sendProbe } from "./pull/probe-link.ts";
import { sendTags } from "./pull/tag-requests.ts";
import { appendToUpload, cancelUpload, describeUpload, finishUpload, startUpload } from "./push/upload-requests.ts";

export interface RequestListenerOptions {
  credentials: Credentials;
  connectionLimiter: ConnectionLimiter;
  content: RegistryContent;
  /** The repositories that accept pushes. */
  pushSessions: ReadonlyMap<string, PushSession>;
  onDetail: (detail: Detail) => void;
}

/**
 * Returns a function that answers a request. It never rejects: an error becomes the answer, or closes the connection if the answer has
 * already begun.
 */
export function requestListener(
  options: RequestListenerOptions,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { credentials, connectionLimiter, content, pushSessions, onDetail } = options;
  return async (request, response) => {
    let session: PushSession | undefined;
    try {
      // Docker recognises the current registry protocol by this header.
      response.setHeader("docker-distribution-api-version", "registry/2.0");
      const hasPassword = isAuthorized(request.headers.authorization, credentials);
      if (!hasPassword || !connectionLimiter.admit(request)) {
        connectionLimiter.refuse(request, response);
        return sendError(response, hasPassword ? tooManyConnections() : unauthorized());
      }
      const route = readRoute(request.method ?? "", request.url ?? "");
      session = route.kind === "base" ? undefined : pushSessions.get(route.repository);
      session?.observer.active?.();
      const visible = session === undefined ? content : (session.policy.content ?? NO_CONTENT);
      await answerRoute(request, response, route, visible, session);
    } catch (error) {
      if (error instanceof DistributionError) sendError(response, error);
      else {
        sendError(response, new DistributionError(500, "UNKNOWN", "the registry has failed"));
        if (!isClientGone(error)) {
          onDetail({ code: "embedded-registry-failed", error: messageOf(error) });
          session?.observer.broken?.(error as Error);
        }
      }
    }
    ignoreBody(request);
  };
}

/** Returns whether an error only means that the client closed the connection. */
function isClientGone(error: unknown): boolean {
  return ["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"].includes(String((error as NodeJS.ErrnoException).code));
}

async function answerRoute(
  request: IncomingMessage,
  response: ServerResponse,
  route: Route,
  content: RegistryContent,
  session: PushSession | undefined,
): Promise<void> {
  switch (route.kind) {
    case "base":
      return sendBase(response);
    case "tags":
      return await sendTags(response, route, content);
    case "blob": {
      if (session === undefined || request.method !== "HEAD") return await sendBlob(request, response, route, content);
      const size = session.policy.presentSize(route.digest, request.headers.accept ?? "");
      if (size === undefined) throw unknownBlob(route.digest);
      return describeBlob(response, route.digest, size);
    }
    case "recipe":
    case "pieces":
      return await sendDelta(request, response, route, content);
    case "packed-size":
      return await sendPackedSize(response, route, content);
    case "pieces-size":
      return await sendPiecesSize(request, response, route, content);
    case "probe":
      return sendProbe(response, route.query);
    case "manifest":
      if (request.method !== "PUT") return await sendManifest(request, response, route, content);
      return await receiveManifest(request, response, route, requireOpen(session).policy);
    case "uploads":
      return await startUpload(request, response, route, requireOpen(session));
    case "upload":
      if (request.method === "PATCH") return await appendToUpload(request, response, route, requireOpen(session));
      if (request.method === "PUT") return await finishUpload(request, response, route, requireOpen(session));
      if (request.method === "DELETE") return await cancelUpload(response, route, requireOpen(session));
      return describeUpload(response, route, requireOpen(session));
  }
}

function requireOpen(session: PushSession | undefined): PushSession {
  if (session !== undefined) return session;
  throw new DistributionError(403, "DENIED", "this repository accepts no pushes");
}

function unauthorized(): DistributionError {
  return new DistributionError(401, "UNAUTHORIZED", "this registry asks for the password of this run", {
    "www-authenticate": 'Basic realm="docker-over-ssh"',
  });
}

function tooManyConnections(): DistributionError {
  return new DistributionError(429, "TOOMANYREQUESTS", "there are too many connections");
}

function sendBase(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": 2 });
  response.end("{}");
}

function sendError(response: ServerResponse, error: DistributionError): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const { body, status, headers } = error;
  response.writeHead(status, {
    ...headers,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body); // Node omits the body from the answer to a HEAD request
}
