import { createServer, ServerResponse, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { clientGone, type Exchange } from "./exchange.ts";
import { refuseBroken } from "./refuse-broken.ts";
import type { Timeouts } from "./timeouts.ts";

/**
 * Maximum bytes of the request line and all headers. `X-Registry-Config` contains all credentials of a docker config.
 */
const MAX_HEADERS = 160 * 1024;

/** The state of a connection */
interface Connection {
  /** Closes the connection if the expected event does not occur in time */
  timer: NodeJS.Timeout | undefined;
  /** Whether a request is being answered */
  isBusy: boolean;
}

/**
 * Reads the requests of connections that are passed to it. The server does not listen, so Node's own timeouts for slow
 * headers do not run: timers in this module close connections that do not complete a request.
 */
export function createHttp1(
  handle: (exchange: Exchange) => Promise<void>,
  timeouts: Timeouts,
): { take(socket: Duplex): void } {
  const connections = new WeakMap<Duplex, Connection>();
  const wait = (socket: Duplex, ms: number): void => {
    const connection = connections.get(socket);
    if (connection === undefined) return;
    clearTimeout(connection.timer);
    connection.timer = setTimeout(() => socket.destroy(), ms).unref();
  };
  const begin = (socket: Duplex): boolean => {
    const connection = connections.get(socket);
    if (connection === undefined || connection.isBusy) return false;
    clearTimeout(connection.timer);
    connection.isBusy = true;
    return true;
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    const { socket } = request;
    // No docker client sends a request before the last answer; one that does could have hundreds handled at once.
    if (!begin(socket)) {
      socket.destroy();
      return;
    }
    response.once("close", () => {
      const connection = connections.get(socket);
      if (connection !== undefined) connection.isBusy = false;
      // The rest of an unread body is discarded as it arrives, but only for a limited time.
      wait(socket, request.complete ? timeouts.keepAlive : timeouts.linger);
    });
    void handle(exchangeOf(request, response, expectsContinue ? () => response.writeContinue() : () => {}));
  };
  const server = createServer({ maxHeaderSize: MAX_HEADERS, requireHostHeader: true, insecureHTTPParser: false });
  // Node would silently drop headers beyond this number; their total size is limited instead.
  server.maxHeadersCount = 0;
  server.keepAliveTimeout = 0;
  server.timeout = timeouts.stall;
  server.on("request", (request, response) => onRequest(request, response, false));
  server.on("checkContinue", (request, response) => onRequest(request, response, true));
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (begin(socket)) void handle(switchable(request, socket, head));
    else socket.destroy();
  });
  server.on("clientError", refuseBroken);
  destroyStalled(server, (socket) => connections.get(socket)?.isBusy === true);
  return {
    take(socket) {
      connections.set(socket, { timer: undefined, isBusy: false });
      wait(socket, timeouts.headers);
      socket.once("close", () => clearTimeout(connections.get(socket)?.timer));
      server.emit("connection", socket);
    },
  };
}

/**
 * `timeout`: no byte was transferred on a connection. A stream of events may be silent for hours; an answer whose
 * client does not read may not.
 */
function destroyStalled(server: Server, isBusy: (socket: Socket) => boolean): void {
  server.on("timeout", (socket) => {
    if (socket.writableLength > 0 || !isBusy(socket)) socket.destroy();
  });
}

function exchangeOf(request: IncomingMessage, response: ServerResponse, askForBody: () => void): Exchange {
  const gone = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) gone.abort(clientGone());
  });
  return {
    method: request.method ?? "",
    target: request.url ?? "",
    rawHeaders: request.rawHeaders,
    body: request,
    response,
    gone: gone.signal,
    askForBody: once(askForBody),
  };
}

/** Returns the exchange for a request whose connection leaves HTTP: it is answered by its own response, or switched. */
function switchable(request: IncomingMessage, socket: Socket, head: Buffer): Exchange {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once("finish", () => socket.destroySoon());
  const gone = new AbortController();
  socket.once("close", () => gone.abort(clientGone()));
  socket.on("error", () => socket.destroy());
  let isSwitched = false;
  const before = { received: socket.bytesRead - head.length, sent: socket.bytesWritten };
  return {
    method: request.method ?? "",
    target: request.url ?? "",
    rawHeaders: request.rawHeaders,
    body: request,
    response,
    gone: gone.signal,
    askForBody: () => {},
    takeOver(protocol) {
      isSwitched = true;
      response.detachSocket(socket);
      socket.setTimeout(0);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
      if (head.length > 0) socket.unshift(head);
      return socket;
    },
    switchedBytes: () =>
      isSwitched
        ? { received: socket.bytesRead - before.received, sent: socket.bytesWritten - before.sent }
        : { received: 0, sent: 0 },
  };
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}
