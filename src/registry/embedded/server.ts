import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Credentials } from "../../engine/engine-images.ts";
import type { RunId } from "../../run/run-id.ts";
import { asSocket } from "../../streams/bridge.ts";
import { newCredentials } from "../password.ts";
import { ConnectionLimiter } from "../connection-limiter.ts";
import { NO_CONTENT, type RegistryContent } from "./registry-content.ts";
import { PushSession } from "./push-session.ts";
import { listenerFor } from "./request-listener.ts";
import type { PushPolicy, PushObserver } from "./push-policy.ts";
import { uploadSpool } from "./upload-spool.ts";

/** Bytes of a request line and its headers. Node's own default, said here because a client may be anybody. */
const MAX_HEADERS = 16 * 1024;
/** ms in which a stream of a tunnel has to show the password: its link may be slow. */
const FAR_TIMEOUT = 30_000;

/**
 * An OCI distribution server in this process (spec 1.1: pull, and push as far as engines need it). Everything asks for the
 * password of the run. Nothing listens before {@link listen}.
 */
export interface EmbeddedRegistry extends AsyncDisposable {
  readonly credentials: Credentials;
  /** Answers HTTP on a stream, and lets it pull only. Owns the stream. */
  accept(stream: Duplex): void;
  /** Listens on a free port of 127.0.0.1, and tells which; always the same. There may be pulled, and pushed to open repositories. */
  listen(): Promise<number>;
  /** Makes sure of a place for what is pushed. Rejects with a `no-space` Failure where there can be none. */
  prepare(): Promise<void>;
  /**
   * Lets a repository take pushes until the result is disposed, which gives up the uploads under way. While it is open, whoever
   * comes through the port sees of that repository what the policy has to give, and nothing else.
   */
  open(repository: string, policy: PushPolicy, observer?: PushObserver): AsyncDisposable;
}

export interface EmbeddedRegistryOptions {
  runId: RunId;
  /** What there is to pull. */
  content?: RegistryContent;
  credentials?: Credentials;
  /** The user's cache folder, where the spool's folder is made when there is something to put into it. Left out: there is no place. */
  parent?: string | undefined;
  /** Hears of faults of ours, for --verbose. */
  onDetail?: (text: string) => void;
}

/** Makes the registry ready. Disposing ends all connections, and removes the spool with all that is in it. */
export function openEmbeddedRegistry({
  runId,
  content = NO_CONTENT,
  credentials = newCredentials(),
  parent,
  onDetail = () => {},
}: EmbeddedRegistryOptions): EmbeddedRegistry {
  const spool = uploadSpool(runId, parent);
  const sessions = new Map<string, PushSession>();
  const far = new ConnectionLimiter({ timeout: FAR_TIMEOUT });
  const puller = serve(listenerFor(credentials, far, content, new Map(), onDetail), far);
  const near = new ConnectionLimiter();
  const pusher = serve(listenerFor(credentials, near, content, sessions, onDetail), near);
  let port: Promise<number> | undefined;
  return {
    credentials,
    accept(stream) {
      puller.server.emit("connection", asSocket(stream));
      puller.closeWith(stream);
    },
    async listen() {
      return await (port ??= listen(pusher.server));
    },
    prepare: async () => void (await spool.open()),
    open(repository, policy, observer = {}) {
      if (sessions.has(repository)) throw new TypeError(`${repository} is open already`);
      return openLanding(repository, new PushSession(policy, observer, spool), sessions);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([puller.close(), pusher.close()]);
      for (const session of sessions.values()) await session[Symbol.asyncDispose]();
      await spool[Symbol.asyncDispose]();
    },
  };
}

function openLanding(repository: string, session: PushSession, sessions: Map<string, PushSession>): AsyncDisposable {
  sessions.set(repository, session);
  return {
    async [Symbol.asyncDispose]() {
      sessions.delete(repository);
      await session[Symbol.asyncDispose]();
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

interface Served {
  server: Server;
  /** Destroys a stream at the end, if it is there still. */
  closeWith(stream: Duplex): void;
  /** Ends every connection, and waits until no request is being answered. */
  close(): Promise<void>;
}

function serve(
  listener: (...args: Parameters<RequestListener>) => Promise<void>,
  strangers: ConnectionLimiter,
): Served {
  const connections = new Set<Duplex>();
  const answering = new Set<Promise<void>>();
  const server = createServer({ maxHeaderSize: MAX_HEADERS }, (request, response) => {
    const answered = listener(request, response).finally(() => answering.delete(answered));
    answering.add(answered);
  });
  strangers.watch(server);
  // A layer of many GB over a thin link takes longer than Node's five minutes for a request.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;
  // Node itself knows only of connections that came through a port (seen on 20.20).
  const closeWith = (stream: Duplex): void => {
    connections.add(stream);
    stream.once("close", () => connections.delete(stream));
  };
  server.on("connection", closeWith);
  return {
    server,
    closeWith,
    async close() {
      const closed = server.listening ? once(server, "close") : undefined;
      server.close();
      for (const connection of connections) connection.destroy();
      await Promise.all([...answering, closed]);
    },
  };
}
