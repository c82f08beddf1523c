import type { FastifyInstance, FastifyRequest } from "fastify";
import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { finished } from "node:stream";
import { LINGER } from "./http-server.ts";
import { ProblemError } from "./problem.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Content types of bodies that the route reads and limits itself. The route calls {@link expectBody}. */
    streams?: readonly string[];
  }
  interface FastifyRequest {
    /** Tells a client that waits (`Expect: 100-continue`) to send its body. See {@link expectBody}. */
    sendContinue: (() => void) | undefined;
  }
}

/**
 * Lets bodies arrive only after the checks of their requests, and limits their time: `maxTime` ms for a body that fits
 * into memory. A client that sends `Expect: 100-continue`, as curl does for large bodies, learns of a wrong token or
 * field before it sends the body.
 */
export function expectBodies(app: FastifyInstance, maxTime: number): void {
  app.decorateRequest("sendContinue", undefined);
  app.server.on("checkContinue", (request, response) => app.server.emit("request", request, response));
  app.addHook("onRequest", async (request, reply) => {
    if (request.headers.expect?.toLowerCase() === "100-continue") {
      request.sendContinue = () => reply.raw.writeContinue();
    }
    const encoding = request.headers["content-encoding"];
    if (encoding === undefined || encoding === "identity") return;
    const detail = "A body with a Content-Encoding is not accepted; send a compressed archive unchanged.";
    throw new ProblemError(415, "content-encoding", detail);
  });
  app.addHook("preParsing", async (request, _reply, payload) => {
    if (request.is404) return withoutBody(request, payload);
    if (request.routeOptions.config.streams?.includes(mediaTypeOf(request))) return payload;
    expectBody(request);
    const timer = setTimeout(() => {
      const detail = `The body was not complete after ${maxTime / 1000} s.`;
      payload.emit("error", new ProblemError(408, "too-slow", detail));
    }, maxTime);
    finished(request.raw, { writable: false }, () => clearTimeout(timer));
    return payload;
  });
  app.addHook("onResponse", async (request) => closeUnread(request.raw));
}

/**
 * Prevents Fastify from reading a body of a request that no route handles into memory: anybody may send it. Without
 * these headers, Fastify sees no body.
 */
function withoutBody<Payload>({ raw }: FastifyRequest, payload: Payload): Payload {
  for (const name of ["content-type", "content-length", "transfer-encoding"]) delete raw.headers[name];
  return payload;
}

/**
 * Closes the connection of a request that was answered before its body was read, because the rest of the body is not a
 * request. Closes it after a delay and discards the data until then: an immediate close resets the connection, which
 * can lose the response.
 */
function closeUnread(request: IncomingMessage): void {
  if (request.complete || !(request.socket instanceof Socket)) return;
  const timer = setTimeout(() => request.socket.destroy(), LINGER);
  request.once("close", () => clearTimeout(timer)).resume();
}

/** Call it before a route reads a body itself. */
export function expectBody(request: FastifyRequest): void {
  request.sendContinue?.();
  request.sendContinue = undefined;
}

/** Returns the media type without parameters; empty for a request without one. */
export function mediaTypeOf({ headers }: FastifyRequest): string {
  return (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}
