import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { Duplex } from "node:stream";
import { clientGone, type Exchange } from "./exchange.ts";
import type { Times } from "./times.ts";

/** A build of buildx has about twenty at a time. */
const MAX_STREAMS = 128;
/** Bytes of headers */
const MAX_HEADERS = 160 * 1024;
/** MB of one connection's memory in Node */
const MAX_MEMORY = 10;
/** Streams that a client may reset within a minute. A docker command does so with a few at its end; the flood of CVE-2023-44487 with millions. */
const MAX_RESETS = 200;
const MINUTE = 60_000;

/** Takes a gRPC call. Undefined: it is none. */
export type TakeGrpc = (request: Http2ServerRequest, response: Http2ServerResponse, gone: AbortSignal) => boolean;

/**
 * Reads requests of connections with prior knowledge. nghttp2 itself ends connections that flood it with SETTINGS, PING or CONTINUATION
 * frames; resets are counted here.
 */
export function createHttp2(
  handle: (exchange: Exchange) => Promise<void>,
  takeGrpc: TakeGrpc,
  times: Times,
): { take(socket: Duplex): void } {
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
    closeIdle(session, times);
    limitResets(session);
    // What is wrong with a connection ends it; there is nobody to tell.
    session.on("error", () => session.destroy());
  });
  server.on("sessionError", () => {});
  const onRequest = (request: Http2ServerRequest, response: Http2ServerResponse, askForBody: () => void): void => {
    const gone = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) gone.abort(clientGone());
    });
    request.on("error", () => {});
    response.on("error", () => {});
    if (takeGrpc(request, response, gone.signal)) return;
    response.once("finish", () => {
      // The rest of a body that nobody reads is not sent (RFC 9113, 8.1).
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
  return { take: (socket) => void server.emit("connection", socket) };
}

/** Names that begin with a colon are the request line of HTTP/2. */
export function withoutPseudo(raw: readonly string[]): string[] {
  return raw.filter((_, index) => raw[index - (index % 2)]?.startsWith(":") !== true);
}

/** Closes a connection on which there is no request for some time. */
function closeIdle(session: ServerHttp2Session, times: Times): void {
  let open = 0;
  const wait = (ms: number): NodeJS.Timeout => setTimeout(() => session.destroy(), ms).unref();
  let timer = wait(times.headers);
  session.on("stream", (stream) => {
    open++;
    clearTimeout(timer);
    stream.once("close", () => {
      open--;
      if (open === 0) timer = wait(times.keepAlive);
    });
  });
  session.once("close", () => clearTimeout(timer));
}

function limitResets(session: ServerHttp2Session): void {
  let resets = 0;
  let since = Date.now();
  session.on("stream", (stream) => {
    stream.once("close", () => {
      if (session.destroyed || stream.rstCode === constants.NGHTTP2_NO_ERROR) return;
      if (Date.now() - since > MINUTE) {
        resets = 0;
        since = Date.now();
      }
      resets++;
      if (resets > MAX_RESETS) session.destroy();
    });
  });
}
