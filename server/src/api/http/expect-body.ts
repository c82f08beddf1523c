import type { FastifyInstance, FastifyRequest } from "fastify";
import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { finished } from "node:stream";
import { LINGER } from "./http-server.ts";
import { ProblemError } from "./problem.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Types of bodies that the route reads itself, and watches. It calls {@link expectBody}. */
    streams?: readonly string[];
  }
  interface FastifyRequest {
    /** Tells a client that waits with its body (`Expect: 100-continue`) to send it. See {@link expectBody}. */
    sendContinue: (() => void) | undefined;
  }
}

/**
 * Has bodies come only when their requests are not refused by then, and within a time: `maxTime` ms for a body that fits into memory. A client that asks
 * (`Expect: 100-continue`, curl does for large bodies) hears of a wrong token or field before it has sent anything.
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
    const detail = "A body with a Content-Encoding is not taken: a compressed archive is sent as it is.";
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

/** Has the body of a request that no route takes not read into memory: it may be anybody's. Without these headers there is none to Fastify. */
function withoutBody<Payload>({ raw }: FastifyRequest, payload: Payload): Payload {
  for (const name of ["content-type", "content-length", "transfer-encoding"]) delete raw.headers[name];
  return payload;
}

/**
 * Closes the connection of a request that was answered before its body was read, because what still comes is no request: but later, for closing at once
 * resets it, and the answer could be lost with what is on its way. What comes in the meantime is thrown away.
 */
function closeUnread(request: IncomingMessage): void {
  if (request.complete || !(request.socket instanceof Socket)) return;
  const timer = setTimeout(() => request.socket.destroy(), LINGER);
  request.once("close", () => clearTimeout(timer)).resume();
}

/** Call it before a body is read that the route reads itself. */
export function expectBody(request: FastifyRequest): void {
  request.sendContinue?.();
  request.sendContinue = undefined;
}

/** Without parameters; empty for a request without one */
export function mediaTypeOf({ headers }: FastifyRequest): string {
  return (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}
