import type { Duplex } from "node:stream";
import type { Credentials } from "../../engine/credentials.ts";
import type { Detail } from "../../output/details.ts";
import type { RunId } from "../../run/run-id.ts";
import { ConnectionLimiter } from "../connection-limiter.ts";
import { newCredentials } from "../password.ts";
import { createHttpServer } from "./http/http-server.ts";
import type { PushPolicy, PushObserver } from "./push/push-policy.ts";
import { PushSession } from "./push/push-session.ts";
import { NO_CONTENT, type RegistryContent } from "./pull/registry-content.ts";
import { requestListener } from "./request-listener.ts";
import { uploadSpool } from "./push/upload-spool.ts";

/** ms in which a stream of the tunnel must show the password. Its link may be slow. */
const TUNNEL_TIMEOUT = 30_000;

/**
 * An OCI distribution server in this process (spec 1.1: pull, and the parts of push that engines need). Every request needs the password of
 * the run. Listens on no port before {@link listen}.
 */
export interface EmbeddedRegistry extends AsyncDisposable {
  readonly credentials: Credentials;
  /** Answers HTTP on a stream, for pulls only. Owns the stream. */
  accept(stream: Duplex): void;
  /** Listens on a free port of 127.0.0.1, and always returns the same port. Answers pulls on it, and pushes to open repositories. */
  listen(): Promise<number>;
  /** Opens the spool for pushed blobs. Rejects with a `no-space` Failure if there is no usable cache folder. */
  openSpool(): Promise<void>;
  /**
   * Accepts pushes to a repository until the result is disposed of, which gives up unfinished uploads. During that time, clients of the
   * port see only the policy's content of this repository.
   */
  openPushSession(repository: string, policy: PushPolicy, observer?: PushObserver): AsyncDisposable;
}

export interface EmbeddedRegistryOptions {
  runId: RunId;
  /** The content to pull. */
  content?: RegistryContent;
  credentials?: Credentials;
  /** The user's cache folder, for the spool. If undefined, nothing can be pushed. */
  parent?: string | undefined;
  /** Called with errors of this process, for --verbose. */
  onDetail?: (detail: Detail) => void;
}

/** Opens an embedded registry. Disposing closes all connections, and removes the spool. */
export function openEmbeddedRegistry({
  runId,
  content = NO_CONTENT,
  credentials = newCredentials(),
  parent,
  onDetail = () => {},
}: EmbeddedRegistryOptions): EmbeddedRegistry {
  const spool = uploadSpool(runId, parent);
  const sessions = new Map<string, PushSession>();
  const serve = (pushSessions: ReadonlyMap<string, PushSession>, connectionLimiter: ConnectionLimiter) => {
    const listener = requestListener({ credentials, connectionLimiter, content, pushSessions, onDetail });
    return createHttpServer(listener, connectionLimiter);
  };
  const tunnelServer = serve(new Map(), new ConnectionLimiter({ timeout: TUNNEL_TIMEOUT }));
  const portServer = serve(sessions, new ConnectionLimiter());
  let port: Promise<number> | undefined;
  return {
    credentials,
    accept: (stream) => tunnelServer.accept(stream),
    listen: async () => await (port ??= portServer.listen()),
    openSpool: async () => void (await spool.open()),
    openPushSession(repository, policy, observer = {}) {
      if (sessions.has(repository)) throw new TypeError(`${repository} is already open`);
      const session = new PushSession(policy, observer, spool);
      sessions.set(repository, session);
      return {
        async [Symbol.asyncDispose]() {
          sessions.delete(repository);
          await session[Symbol.asyncDispose]();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([tunnelServer.close(), portServer.close()]);
      for (const session of sessions.values()) await session[Symbol.asyncDispose]();
      await spool[Symbol.asyncDispose]();
    },
  };
}
