import { createServer, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { messageOf } from "docker-over-ssh/builds";

/** A request in the form in which it arrives. */
export interface CopiedRequest {
  method: string;
  target: string;
  /** Alternating names and values */
  rawHeaders: readonly string[];
  /** Its first bytes: at most {@link MAX_BODY} + 1, where the last one shows that the body is longer */
  body: Buffer;
  /** Bytes of the complete body */
  received: number;
}

export interface HttpEvents {
  /** Called when a request is complete, or its connection has ended in the middle of it. */
  onRequest(request: CopiedRequest): void;
  /** Called when another protocol begins. The callee owns the stream, which contains all following bytes. */
  onUpgrade(request: CopiedRequest, rest: Duplex): void;
  /** Called when the connection cannot be read any more. */
  onUnreadable(why: string): void;
}

/** Maximum bytes of a body that are stored: more than any JSON that a guard accepts */
const MAX_BODY = 1024 * 1024;
const MAX_HEADERS = 256 * 1024;

/** Reads a copy of a connection that uses HTTP/1. */
export function readHttp(copy: Duplex, events: HttpEvents): void {
  const server = createServer({
    maxHeaderSize: MAX_HEADERS,
    requireHostHeader: false,
    // The engine decides how long a tenant may wait.
    headersTimeout: 0,
    requestTimeout: 0,
    keepAliveTimeout: 0,
  });
  server.on("request", (request, response) => {
    void copyOf(request).then((copied) => {
      events.onRequest(copied);
      response.end();
    });
  });
  server.on("upgrade", (request, stream, head) => {
    if (head.length > 0) stream.unshift(head);
    events.onUpgrade(copiedRequest(request, Buffer.alloc(0), 0), stream);
  });
  server.on("connect", (request, stream, head) => {
    if (head.length > 0) stream.unshift(head);
    events.onUpgrade(copiedRequest(request, Buffer.alloc(0), 0), stream);
  });
  server.on("clientError", (error, stream) => {
    // A connection that ends in the middle of a request is not an error.
    if ((error as NodeJS.ErrnoException).code !== "ECONNRESET") events.onUnreadable(messageOf(error));
    stream.destroy();
  });
  server.emit("connection", copy);
}

async function copyOf(request: IncomingMessage): Promise<CopiedRequest> {
  const storedChunks: Buffer[] = [];
  let [received, length] = [0, 0];
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      received += chunk.length;
      const part = chunk.subarray(0, MAX_BODY + 1 - length);
      length += part.length;
      if (part.length > 0) storedChunks.push(part);
    }
  } catch {
    // The body was cut off: the part that has arrived is judged.
  }
  return copiedRequest(request, Buffer.concat(storedChunks), received);
}

function copiedRequest(
  { method = "", url = "", rawHeaders }: IncomingMessage,
  body: Buffer,
  received: number,
): CopiedRequest {
  return { method, target: url, rawHeaders, body, received };
}
