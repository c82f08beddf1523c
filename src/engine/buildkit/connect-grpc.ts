import { Agent } from "node:http";
import { text } from "node:stream/consumers";
import { deadline } from "../../streams/deadline.ts";
import { isAtLeast } from "../api/compare-versions.ts";
import { isOneStream, type EngineAddress } from "../connect/endpoint.ts";
import type { EngineConnections } from "../connect/open-connections.ts";
import { overHttp1, switchProtocol } from "../http/http1.ts";
import { Http2Connection } from "../http/http2.ts";
import { withFaceOfSocket } from "../connect/stream-agent.ts";

/** The API version from which an engine speaks HTTP/2 on its socket: Docker 29's, run with 29.7. It deprecates `/grpc`. */
const HTTP2 = "1.53";
/** ms for an engine to switch a connection to gRPC in either way, which takes 20: a proxy in between may never do it. */
const SWITCH_TIMEOUT = 1_000;
/** The same, where two round trips over a slow link are in it. */
const FAR_SWITCH_TIMEOUT = 3_000;
/** ms where a program is run for it, which may ask for a password first. */
const LOGIN_TIMEOUT = 60_000;

export interface ConnectOptions {
  address: EngineAddress;
  connections: EngineConnections;
  /** The newest API version that the engine speaks. */
  offered: string;
  /** Of the API, before the path. */
  prefix: string;
  signal: AbortSignal;
}

/** A connection to an engine that speaks HTTP/2. */
export interface EngineHttp2 {
  connection: Http2Connection;
  /** It takes the engine's other requests, too: not so one that was switched to gRPC (`/grpc`). */
  takesRequests: boolean;
}

/**
 * A connection for gRPC: in HTTP/2 from the start where the engine speaks that (Docker 29), else by `POST /grpc`, which
 * switches it (Docker 20.10 to 29). Where an engine is behind a program's stdin and stdout, that is run once more. Undefined
 * when the engine, or whoever is in between, does not do it.
 */
export async function connectHttp2(options: ConnectOptions): Promise<EngineHttp2 | undefined> {
  const { address, offered, signal } = options;
  const alone = isOneStream(address);
  // dockerd agrees on no HTTP/2 over TLS (29.7: its listener names no protocol); there `/grpc` is the only way.
  const speaksHttp2 = engineSpeaksHttp2(offered) && !(address.protocol === "tcp" && address.tls !== undefined);
  const ways = speaksHttp2 ? (alone ? [fromTheStart] : [fromTheStart, bySwitching]) : [bySwitching];
  using limit = deadline(alone ? LOGIN_TIMEOUT : SWITCH_TIMEOUT, signal);
  for (const way of ways) {
    signal.throwIfAborted();
    if (limit.isOver) break;
    try {
      const found = await way(options, limit.signal);
      if (found !== undefined) return found;
    } catch {
      signal.throwIfAborted(); // else the next way, or none
    }
  }
  return undefined;
}

/** @param apiVersion the newest that it speaks */
export function engineSpeaksHttp2(apiVersion: string): boolean {
  return /^\d+\.\d+$/.test(apiVersion) && isAtLeast(apiVersion, HTTP2);
}

async function fromTheStart({ connections }: ConnectOptions, signal: AbortSignal): Promise<EngineHttp2> {
  return { connection: await Http2Connection.open(connections.another(), signal), takesRequests: true };
}

async function bySwitching(
  { address, connections, prefix }: ConnectOptions,
  signal: AbortSignal,
): Promise<EngineHttp2 | undefined> {
  const stream = withFaceOfSocket(connections.another());
  const agent = Object.assign(new Agent({ keepAlive: true, maxSockets: 1 }), { createConnection: () => stream });
  try {
    // Only what is said behind a login tells that it is over; what then hangs is somebody in between.
    const far = isOneStream(address);
    if (far) await ping(agent, prefix, signal);
    using limit = deadline(far ? FAR_SWITCH_TIMEOUT : SWITCH_TIMEOUT, signal);
    const switched = await switchProtocol(agent, `${prefix}/grpc`, "h2c", limit.signal);
    if (switched !== undefined) {
      return { connection: await Http2Connection.open(switched, limit.signal), takesRequests: false };
    }
  } catch (error) {
    stream.destroy();
    throw error;
  }
  stream.destroy();
  return undefined;
}

async function ping(agent: Agent, prefix: string, signal: AbortSignal): Promise<void> {
  const request = { method: "GET", path: `${prefix}/_ping`, headers: {}, signal };
  const { body } = await overHttp1(agent)(request);
  await text(body);
}
