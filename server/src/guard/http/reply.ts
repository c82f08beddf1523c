import { pipeline } from "node:stream/promises";
import type { BackendVersion } from "../backend.ts";
import type { Reply } from "../calls/call.ts";
import { Refusal, type Rule } from "../refusal.ts";
import type { Exchange } from "./exchange.ts";

export const CLIENT_SLOW: Rule = "client.slow";

/** An answer in progress. */
export interface OpenReply extends Reply {
  /** Undefined: not yet sent */
  readonly status: number | undefined;
  /** Sent bytes of the body */
  readonly sent: number;
  /** Completes an answer of lines. An answer that has not begun becomes 200 without a body. */
  end(): void;
  /** Reports an error: with its status, as the last line of an answer of lines, or by aborting an archive. */
  fail(refusal: Pick<Refusal, "statusCode" | "message" | "retryAfter">): void;
}

/** Maximum bytes that may wait for a client that does not read. A build prints some MB at most. */
const MAX_WAITING = 16 * 1024 * 1024;
/**
 * The same limit for events: a tenant has few builds at a time, but may have hundreds of event streams, each of which
 * gets all events.
 */
const MAX_EVENTS_WAITING = 1024 * 1024;

/**
 * @param version the engine's, as far as it is known at this point
 * @param onSlow called when too much data waits for a client
 */
export function openReply(
  exchange: Exchange,
  version: () => BackendVersion | undefined,
  onSlow: (reason: Refusal) => void,
): OpenReply {
  const { response, takeOver } = exchange;
  let kind: "whole" | "lines" | "stream" | "switched" | undefined;
  let status: number | undefined;
  let sent = 0;
  let mostWaiting = MAX_WAITING;
  const begin = (as: typeof kind, code: number, headers: Readonly<Record<string, string>>): void => {
    kind = as;
    status = code;
    if (as !== "switched" && !response.destroyed) response.writeHead(code, { ...engineHeaders(version()), ...headers });
  };
  const whole = (code: number, type: string, body: string, headers: Readonly<Record<string, string>> = {}): void => {
    begin("whole", code, { ...headers, "Content-Type": type, "Content-Length": String(Buffer.byteLength(body)) });
    if (exchange.method !== "HEAD") sent += Buffer.byteLength(body);
    response.end(body);
  };
  const line = (value: object): void => {
    if (kind === undefined) begin("lines", 200, { "Content-Type": "application/json" });
    if (response.destroyed) return;
    const text = `${JSON.stringify(value)}\r\n`;
    sent += Buffer.byteLength(text);
    response.write(text);
    if (response.writableLength > mostWaiting) {
      onSlow(new Refusal(CLIENT_SLOW, "the client does not read its answer", { statusCode: 499 }));
    }
  };
  return {
    get status() {
      return status;
    },
    get sent() {
      return sent;
    },
    json: (code, value) => whole(code, "application/json", `${JSON.stringify(value)}\n`),
    text: (code, text, headers) => whole(code, "text/plain; charset=utf-8", text, headers),
    empty(code, headers = {}) {
      begin("whole", code, { ...headers, "Content-Length": "0" });
      response.end();
    },
    line,
    beginLines() {
      mostWaiting = MAX_EVENTS_WAITING;
      begin("lines", 200, { "Content-Type": "application/json" });
      // The client treats the call as begun when it has received the headers.
      if ("flushHeaders" in response && typeof response.flushHeaders === "function") response.flushHeaders();
    },
    async stream(type, body) {
      begin("stream", 200, { "Content-Type": type });
      body.on("data", (chunk: Buffer) => (sent += chunk.length));
      await pipeline(body, response);
    },
    upgrade(protocol) {
      if (takeOver === undefined) {
        throw new Refusal("upgrade.http2", "an HTTP/2 connection cannot switch to another protocol", {
          statusCode: 400,
        });
      }
      begin("switched", 101, {});
      return takeOver(protocol);
    },
    end() {
      if (kind === undefined) begin("whole", 200, { "Content-Length": "0" });
      if ((kind === "lines" || kind === "whole") && !response.writableEnded) response.end();
    },
    fail({ statusCode, message, retryAfter }) {
      if (kind === undefined) {
        const headers = retryAfter === undefined ? {} : { "Retry-After": String(retryAfter) };
        whole(statusCode, "application/json", `${JSON.stringify({ message })}\n`, headers);
      } else if (kind === "lines" && !response.writableEnded) {
        line({ errorDetail: { message }, error: message });
        response.end();
      } else if (kind === "stream") {
        response.destroy();
      }
    },
  };
}

/** Headers of an engine's answers that docker commands read */
function engineHeaders(version: BackendVersion | undefined): Record<string, string> {
  if (version === undefined) return {};
  return {
    "Api-Version": version.apiVersion,
    "Docker-Experimental": "false",
    Ostype: version.os,
    Server: `Docker/${version.version} (${version.os})`,
  };
}
