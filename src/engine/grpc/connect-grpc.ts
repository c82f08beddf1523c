import { Agent } from "node:http";
import { text } from "node:stream/consumers";
import { deadline } from "../../streams/deadline.ts";
import { isAtLeast } from "../compare-versions.ts";
import { isOneStream, type EngineAddress } from "../connect/endpoint.ts";
import type { EngineConnections } from "../connect/open-connections.ts";
import { overHttp1, switchProtocol } from "../http/http1.ts";
import { Http2Connection } from "../http/http2.ts";
import { likeSocket } from "../connect/stream-agent.ts";

/** The first API version with HTTP/2 on the engine's socket: Docker 29, tested with 29.7. It deprecates `/grpc`. */
const HTTP2 = "1.53";
/** ms for an engine to switch a connection to gRPC. It takes 20 ms, but a proxy in between may never do it. */
const SWITCH_TIMEOUT = 1_000;
/** The same, including two round trips over a slow link. */
const REMOTE_SWITCH_TIMEOUT = 3_000;
/** The same, including a login, during which ssh may ask for a password. */
const LOGIN_TIMEOUT = 60_000;

export interface ConnectOptions {
  address: EngineAddress;
  connections: EngineConnections;
  /** The newest API version that the engine supports. */
  offered: string;
  /** The API's path prefix. */
  prefix: string;
  signal: AbortSignal;
}

/** A connection to an engine that speaks HTTP/2. */
export interface EngineHttp2 {
  connection: Http2Connection;
  /** Whether it can also carry other requests. A connection that was switched to gRPC (`/grpc`) cannot. */
  takesRequests: boolean;
}

/**
 * Opens a connection for gRPC: HTTP/2 from the start if the engine supports it (Docker 29), else `POST /grpc`, which switches the
 * connection (Docker 20.10 to 29). If a program leads to the engine, runs it again. Returns undefined if the engine, or a proxy, supports
 * neither.
 */
export async function connectHttp2(options: ConnectOptions): Promise<EngineHttp2 | undefined> {
  const { address, offered, signal } = options;
  const isOnlyConnection = isOneStream(address);
  // dockerd does not negotiate HTTP/2 over TLS (29.7: its listener names no protocol); `/grpc` works there.
  const speaksHttp2 = engineSpeaksHttp2(offered) && !(address.protocol === "tcp" && address.tls !== undefined);
  const attempts = speaksHttp2 ? (isOnlyConnection ? [fromTheStart] : [fromTheStart, bySwitching]) : [bySwitching];
  using limit = deadline(isOnlyConnection ? LOGIN_TIMEOUT : SWITCH_TIMEOUT, signal);
  for (const attempt of attempts) {
    signal.throwIfAborted();
    if (limit.isOver) break;
    try {
      const found = await attempt(options, limit.signal);
      if (found !== undefined) return found;
    } catch {
      signal.throwIfAborted(); // otherwise, the next attempt follows
    }
  }
  return undefined;
}

function isOnThisMachine({ protocol }: EngineAddress): boolean {
  return protocol === "unix" || protocol === "npipe";
}

/** @param apiVersion the newest version that the engine supports */
export function engineSpeaksHttp2(apiVersion: string): boolean {
  return /^\d+\.\d+$/.test(apiVersion) && isAtLeast(apiVersion, HTTP2);
}

async function fromTheStart({ address, connections }: ConnectOptions, signal: AbortSignal): Promise<EngineHttp2> {
  const isLocal = isOnThisMachine(address);
  return { connection: await Http2Connection.open(connections.another(), { signal, isLocal }), takesRequests: true };
}

async function bySwitching(
  { address, connections, prefix }: ConnectOptions,
  signal: AbortSignal,
): Promise<EngineHttp2 | undefined> {
  const stream = likeSocket(connections.another());
  const agent = Object.assign(new Agent({ keepAlive: true, maxSockets: 1 }), { createConnection: () => stream });
  try {
    // An answer shows that the login is complete. The time limit of the engine starts at this point.
    const isRemote = isOneStream(address);
    if (isRemote) await ping(agent, prefix, signal);
    using limit = deadline(isRemote ? REMOTE_SWITCH_TIMEOUT : SWITCH_TIMEOUT, signal);
    const switched = await switchProtocol(agent, `${prefix}/grpc`, "h2c", limit.signal);
    if (switched !== undefined) {
      const options = { signal: limit.signal, isLocal: isOnThisMachine(address) };
      return { connection: await Http2Connection.open(switched, options), takesRequests: false };
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
