import { connect, performServerHandshake, type Http2Session } from "node:http2";
import { MAX_FRAME, MAX_STREAMS, MAX_UNANSWERED_PINGS, SESSION_WINDOW, STREAM_WINDOW } from "./constants.ts";
import type { Role } from "./handshake.ts";
import type { StdioTransport } from "./transport.ts";

/** The HTTP/2 session of a tunnel (PROTOCOL.md, 2): the receiver is its client. The transport stays the caller's. */
export function openSession(role: Role, transport: StdioTransport): Http2Session {
  const settings = {
    initialWindowSize: STREAM_WINDOW,
    maxFrameSize: MAX_FRAME,
    maxConcurrentStreams: MAX_STREAMS,
    enablePush: false,
  };
  // MB that a session may hold, headers and queued frames included: Node's default of 10 is less than our windows.
  const options = { settings, maxSessionMemory: 128, maxOutstandingPings: MAX_UNANSWERED_PINGS };
  const session =
    role === "receiver"
      ? connect("http://tunnel", { ...options, createConnection: () => transport })
      : performServerHandshake(transport, options);
  session.setLocalWindowSize(SESSION_WINDOW);
  return session;
}
