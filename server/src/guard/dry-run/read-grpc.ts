import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { messageOf, readFrames } from "docker-over-ssh/builds";
import { CopiedStream } from "./copied-stream.ts";
import { requestFrames } from "./http2-frames.ts";

/** Receives the calls of a connection. */
export interface GrpcEvents {
  /** Called for each message of a call. Throws if the guard would refuse it. */
  checkMessage(path: string, message: Buffer): void;
  /**
   * Called at the end of a call or of its connection. `error` is the refusal of its first refused message, or the
   * reason why the call cannot be read.
   */
  onCall(call: { path: string; bytes: number; error?: unknown }): void;
  /** Called when the connection cannot be read any more. */
  onUnreadable(why: string): void;
}

/** Maximum bytes of a message. gRPC servers in Go accept 4 MB by default, those of BuildKit 16 MB. */
const MAX_MESSAGE = 16 * 1024 * 1024;
/** The maximum: the client sends as much as the engine's windows allow, which are unknown to this reader. */
const WINDOW = 2 ** 31 - 1;
const MAX_FRAME = 2 ** 24 - 1;

/** Reads a copy of a connection that uses HTTP/2 from its first byte, without the engine's answers. */
export function readGrpc(copy: Duplex, events: GrpcEvents): void {
  const server = createServer({
    maxSessionMemory: 256,
    settings: { initialWindowSize: WINDOW, maxFrameSize: MAX_FRAME, enablePush: false },
  });
  const waiting: Buffer[] = [];
  let isOpen = false;
  // The acknowledgement must not arrive before the server has sent its settings.
  const requests = new CopiedStream(() => {
    if (isOpen) return;
    isOpen = true;
    for (const bytes of waiting.splice(0)) requests.push(bytes);
  });
  let isUnreadable = false;
  const giveUp = (error: unknown): void => {
    if (!isUnreadable) events.onUnreadable(messageOf(error));
    isUnreadable = true;
    requests.destroy();
  };
  server.on("session", (session: ServerHttp2Session) => {
    session.on("error", giveUp);
    session.setLocalWindowSize(WINDOW);
  });
  server.on("sessionError", giveUp);
  server.on("stream", (stream, headers) => void readCall(stream, headers[":path"] ?? "", events));
  server.emit("connection", requests);
  const take = requestFrames((bytes) => void (isOpen ? requests.push(bytes) : waiting.push(bytes)));
  copy.on("data", (chunk: Buffer) => {
    if (!requests.destroyed) take(chunk);
  });
  copy.once("close", () => requests.destroy());
  copy.once("end", () => requests.destroy());
}

async function readCall(stream: ServerHttp2Stream, path: string, events: GrpcEvents): Promise<void> {
  let bytes = 0;
  let refused: { error?: unknown } = {};
  stream.on("error", () => {}); // the loop sees the error as well
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  try {
    for await (const message of readFrames(counted(), MAX_MESSAGE)) {
      if ("error" in refused) continue;
      try {
        events.checkMessage(path, message);
      } catch (error) {
        refused = { error };
      }
    }
  } catch (error) {
    // A call still counts if its client, or the end of the connection, cuts it off.
    if (!stream.aborted && !stream.destroyed) refused = { error, ...refused };
  }
  events.onCall({ path, bytes, ...refused });
  if (stream.writable) stream.respond({ ":status": 200 }, { endStream: true });
}
