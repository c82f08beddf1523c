import { connect, performServerHandshake, type Http2Session, type Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { MAX_FRAME, MAX_STREAMS, MAX_UNANSWERED_PINGS, SESSION_WINDOW, STREAM_WINDOW } from "./constants.ts";
import type { Role } from "./handshake.ts";
import type { StdioTransport } from "./transport.ts";

/** Opens the HTTP/2 session of a tunnel (PROTOCOL.md, 2). The receiver is the client. The caller still owns the transport. */
export function openSession(role: Role, transport: StdioTransport): Http2Session {
  const settings = {
    initialWindowSize: STREAM_WINDOW,
    maxFrameSize: MAX_FRAME,
    maxConcurrentStreams: MAX_STREAMS,
    enablePush: false,
  };
  // MB that a session may buffer, including headers and queued frames: Node's default of 10 is less than the windows.
  const options = { settings, maxSessionMemory: 128, maxOutstandingPings: MAX_UNANSWERED_PINGS };
  const session =
    role === "receiver"
      ? connect("http://tunnel", { ...options, createConnection: () => transport })
      : performServerHandshake(transport, options);
  session.setLocalWindowSize(SESSION_WINDOW);
  return session;
}

/** Opens a stream to a service (receiver only). The stream fails if the sender has no such service. */
export function openStream(session: Http2Session, service: string): Http2Stream & Duplex {
  if (!("request" in session)) throw new Error("only the receiver opens streams");
  const request = session.request as (headers: Record<string, string>) => Http2Stream & Duplex;
  const stream = request.call(session, { ":method": "CONNECT", ":authority": service });
  stream.once("response", (headers: Record<string, unknown>) => {
    if (headers[":status"] !== 200) stream.destroy(new Error(`the remote side has no service ${service}`));
  });
  return stream;
}

/** Answers a stream to a service (sender only): 200 opens it in both directions, 404 ends it. */
export function respond(stream: Http2Stream, status: 200 | 404): void {
  (stream as unknown as { respond(headers: object, options: object): void }).respond(
    { ":status": status },
    { endStream: status === 404 },
  );
}
