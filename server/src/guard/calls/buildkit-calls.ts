import { setMaxListeners } from "node:events";
import { pipeline } from "node:stream/promises";
import type { Duplex } from "node:stream";
import type { Backend, BackendBuildkit, OpenSession, SessionRequest } from "../backend.ts";
import { Refusal } from "../refusal.ts";
import type { StrictHeaders } from "../request/headers.ts";
import type { Call } from "./call.ts";

const UPGRADE = { kind: "upgrade" } as const;
/** The protocol of `/grpc` and `/session` */
const PROTOCOL = "h2c";

const GRPC: Call = {
  rule: "buildkit.grpc",
  method: "POST",
  path: "/grpc",
  does: "Opens a connection to BuildKit, and checks each of its gRPC calls.",
  query: {},
  body: UPGRADE,
  read: () => ({
    async perform({ reply, serveHttp2 }) {
      // Accepted even without BuildKit: if /grpc were refused, buildx would try to start a builder in a container, and
      // the user would only see that this is not allowed.
      await serveHttp2(reply.upgrade(PROTOCOL));
    },
  }),
};

const SESSION: Call = {
  rule: "buildkit.session",
  method: "POST",
  path: "/session",
  does: "Opens a session, on which a build of this tenant requests files, secrets and credentials from its client.",
  query: {},
  body: UPGRADE,
  read({ headers }) {
    const session = sessionOf(headers);
    return {
      async perform({ caller, backend, reply }) {
        const opened = await buildkitOf(backend).openSession(caller, session);
        await join(reply.upgrade(PROTOCOL), opened, caller.signal);
      },
    };
  },
};

export const BUILDKIT_CALLS: readonly Call[] = [GRPC, SESSION];

function buildkitOf({ buildkit }: Backend): BackendBuildkit {
  if (buildkit === undefined) throw noBuildkit();
  return buildkit;
}

export function noBuildkit(): Refusal {
  return new Refusal("buildkit.none", "this guard has no BuildKit: set DOCKER_BUILDKIT=0 for the classic builder", {
    statusCode: 404,
  });
}

/** BuildKit's identifiers have letters and digits; other clients use UUIDs */
const ID = /^[A-Za-z0-9._-]{1,128}$/;
const METHOD = /^\/[A-Za-z0-9._]{1,200}\/[A-Za-z0-9_]{1,100}$/;
/** buildx exposes about 15 methods */
const MAX_METHODS = 64;
/** Maximum characters of a name or key */
const MAX_TEXT = 1024;

/** Reads `X-Docker-Expose-Session-*`. Throws a Refusal 400 `session.invalid`. */
function sessionOf(headers: StrictHeaders): SessionRequest {
  const id = headers.get("x-docker-expose-session-uuid") ?? "";
  if (!ID.test(id)) throw invalid("the session must have an ID of letters, digits, dots, hyphens and underscores");
  const name = headers.get("x-docker-expose-session-name") ?? "";
  const sharedKey = headers.get("x-docker-expose-session-sharedkey") ?? "";
  if (name.length > MAX_TEXT || sharedKey.length > MAX_TEXT) throw invalid("the session's name or key is too long");
  const methods = headers.all("x-docker-expose-session-grpc-method");
  if (methods.length > MAX_METHODS || !methods.every((method) => METHOD.test(method))) {
    throw invalid("the session must expose at most 64 methods, each like /package.Service/Method");
  }
  return { id, name, sharedKey, methods };
}

function invalid(message: string): Refusal {
  return new Refusal("session.invalid", message, { statusCode: 400 });
}

/**
 * Copies data between two connections, at the pace of the slower one, until one of them ends: HTTP/2 does not support
 * half-open connections.
 *
 * @throws Refusal if the client sends too many bytes
 */
async function join(client: Duplex, { stream: engine, count }: OpenSession, signal: AbortSignal): Promise<void> {
  setMaxListeners(0, client, engine); // each pipeline adds its own listener
  let refused: unknown;
  async function* counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      try {
        count(chunk.length);
      } catch (error) {
        refused = error;
        throw error;
      }
      yield chunk;
    }
  }
  try {
    await Promise.race([pipeline(client, counted, engine, { signal }), pipeline(engine, client, { signal })]);
  } catch {
    // A session ends with its client, with its build, or with the engine: the first one to end resets the connection.
  } finally {
    client.destroy();
    engine.destroy();
  }
  if (refused !== undefined) throw refused;
}
