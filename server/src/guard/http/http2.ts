import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Duplex } from "node:stream";
import { Refusal } from "../refusal.ts";
import { clientGone, type Exchange } from "./exchange.ts";
import type { Timeouts } from "./timeouts.ts";

/** A build with buildx has about twenty at a time. */
const MAX_STREAMS = 128;
/** Maximum bytes of headers */
const MAX_HEADERS = 160 * 1024;
/** Maximum MB of one connection's memory in Node */
const MAX_MEMORY = 10;
/**
 * Maximum streams that a client may reset within a minute. A docker command resets a few at its end; the flood of
 * CVE-2023-44487 resets millions.
 */
const MAX_RESETS = 200;
/**
 * Maximum PINGs within a minute. grpc-go sends one for each round trip in which data arrives, to estimate the
 * bandwidth: up to one for each line that a build prints. BuildKit limits the output to a megabyte for each step.
 */
const MAX_PINGS = 100_000;
/** Maximum SETTINGS frames within a minute. grpc-go sends a new window after a few of these PINGs. */
const MAX_SETTINGS = 100;
const MINUTE = 60_000;

/** Handles a gRPC call. Returns false for any other request. */
export type ForwardGrpc = (request: Http2ServerRequest, response: Http2ServerResponse, gone: AbortSignal) => boolean;

export interface Http2Front {
  /**
   * Owns the connection.
   *
   * @returns a handle whose `end` closes it when the open requests have been answered
   */
  take(socket: Duplex): { end: () => void };
}

/**
 * Reads the requests of HTTP/2 connections with prior knowledge. nghttp2 ends floods of CONTINUATION frames; this
 * module counts other floods.
 */
export function createHttp2(
  handle: (exchange: Exchange) => Promise<void>,
  forwardGrpc: ForwardGrpc,
  { timeouts, onFlood }: { timeouts: Timeouts; onFlood: (refusal: Refusal) => void },
): Http2Front {
  const server = createServer({
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: MAX_HEADERS, enablePush: false },
    maxSessionMemory: MAX_MEMORY,
    maxSendHeaderBlockLength: MAX_HEADERS,
    maxHeaderListPairs: 256,
    maxOutstandingPings: 10,
    maxSettings: 32,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
  });
  server.on("session", (session: ServerHttp2Session) => {
    closeIdle(session, timeouts);
    endFloods(session, onFlood);
    // A broken connection is closed without a report.
    session.on("error", () => session.destroy());
  });
  server.on("sessionError", () => {});
  const onRequest = (request: Http2ServerRequest, response: Http2ServerResponse, askForBody: () => void): void => {
    const gone = new AbortController();
    const leave = (): void => {
      if (!response.writableFinished) gone.abort(clientGone());
    };
    request.stream.once("close", leave);
    // A client may have reset its request already: no event follows in this case.
    if (request.stream.destroyed) leave();
    else endStalled(request.stream, timeouts.stall);
    request.on("error", () => {});
    response.on("error", () => {});
    if (forwardGrpc(request, response, gone.signal)) return;
    response.once("finish", () => {
      // The client need not send the rest of an unread body (RFC 9113, 8.1).
      if (!request.complete) request.stream.close();
    });
    void handle({
      method: request.method,
      target: request.url,
      rawHeaders: withoutPseudo(request.rawHeaders),
      body: request,
      response,
      gone: gone.signal,
      askForBody,
    });
  };
  server.on("request", (request, response) => onRequest(request, response, () => {}));
  server.on("checkContinue", (request: Http2ServerRequest, response: Http2ServerResponse) => {
    onRequest(request, response, () => response.writeContinue());
  });
  return {
    take(socket) {
      // A session does not close a socket whose peer has disconnected while the socket is still writable.
      socket.allowHalfOpen = false;
      let opened: ServerHttp2Session | undefined;
      const note = (session: ServerHttp2Session): void => void (opened = session);
      server.once("session", note);
      server.emit("connection", socket);
      server.off("session", note);
      return { end: () => void (opened === undefined ? socket.destroy() : opened.close()) };
    },
  };
}

/** Removes the names that begin with a colon, which are HTTP/2's request line. */
export function withoutPseudo(raw: readonly string[]): string[] {
  return raw.filter((_, index) => raw[index - (index % 2)]?.startsWith(":") !== true);
}

/**
 * Ends a request whose client does not read the answer, because it may hold a connection to the engine. A stream of
 * events may be silent for hours. Node's own stream timeout does not help, because each PING restarts it.
 */
function endStalled(stream: ServerHttp2Stream, ms: number): void {
  let before = 0;
  let hasMoved = true;
  stream.on("drain", () => (hasMoved = true));
  const timer = setInterval(() => {
    const waiting = stream.writableLength;
    if (waiting > 0 && waiting === before && !hasMoved) stream.close(constants.NGHTTP2_CANCEL);
    before = waiting;
    hasMoved = false;
  }, ms).unref();
  stream.once("close", () => clearInterval(timer));
}

/** Closes a connection that has had no request for some time. */
function closeIdle(session: ServerHttp2Session, timeouts: Timeouts): void {
  let open = 0;
  const wait = (ms: number): NodeJS.Timeout => setTimeout(() => session.destroy(), ms).unref();
  let timer = wait(timeouts.headers);
  session.on("stream", (stream) => {
    open++;
    clearTimeout(timer);
    stream.once("close", () => {
      open--;
      if (open === 0) timer = wait(timeouts.keepAlive);
    });
  });
  session.once("close", () => clearTimeout(timer));
}

/**
 * Closes a connection that floods the guard. nghttp2 limits only unread answers to PING and SETTINGS. After too many
 * resets it accepts no new streams but keeps the connection, so a client that reads its answers could continue for
 * ever.
 */
function endFloods(session: ServerHttp2Session, onFlood: (refusal: Refusal) => void): void {
  const counter = (most: number, what: string): (() => void) => {
    const count = countPerMinute();
    return () => {
      if (session.destroyed || count() <= most) return;
      session.destroy();
      onFlood(
        new Refusal("connection.flood", `more than ${most} ${what} within a minute on a connection of HTTP/2`, {
          statusCode: 429,
        }),
      );
    };
  };
  const countReset = counter(MAX_RESETS, "resets");
  session.on("stream", (stream) => {
    stream.once("close", () => {
      // A reset with the code 0 counts as well, and so does a reset that a wrong frame provokes from the guard
      // (CVE-2025-8671).
      if (stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR) countReset();
    });
  });
  session.on("ping", counter(MAX_PINGS, "PINGs"));
  session.on("remoteSettings", counter(MAX_SETTINGS, "SETTINGS"));
}

/** Returns a function that counts its calls, and returns their number within the current minute. */
function countPerMinute(): () => number {
  let count = 0;
  let since = performance.now();
  return () => {
    if (performance.now() - since > MINUTE) {
      count = 0;
      since = performance.now();
    }
    return ++count;
  };
}
