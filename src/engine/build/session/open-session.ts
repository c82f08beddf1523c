import { randomBytes } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import type { BuildContext } from "../../../build-context/build-context.ts";
import { Control } from "../../buildkit/gen/control_pb.ts";
import type { BuildAnswers, BuildOrder } from "../../engine-builder.ts";
import type { GrpcConnection } from "../../grpc/grpc-connection.ts";
import { serveGrpc } from "../../grpc/grpc-server.ts";
import { userServices } from "./user-services.ts";
import { fileSync } from "./file-sync.ts";
import { SessionStream } from "./session-stream.ts";

const DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy";
export interface SessionOptions {
  order: Pick<BuildOrder, "secrets" | "agents" | "contextKey" | "contextPlace">;
  answers: BuildAnswers;
  /** Served as the context and as the folder of the Dockerfile. Undefined if the builder gets them in another way. */
  context: BuildContext | undefined;
  signal: AbortSignal;
}

/** A BuildKit session, in which BuildKit requests files and secrets during a build. Disposing ends it. */
export interface BuildSession extends Disposable {
  /** Sent with the request that starts the build */
  readonly id: string;
  /** The reason why a context could not be sent: the cause of the error that BuildKit reports. */
  readonly error: Error | undefined;
  /** The reason why the session ended before it was disposed */
  readonly broken: Error | undefined;
  /** Bytes of the files that BuildKit requested */
  readonly served: number;
}

/** Opens a session (moby/buildkit, `session/`). BuildKit is the client of this connection. It waits for sessions that are not open yet. */
export function openSession(
  connection: GrpcConnection,
  { order, answers, context, signal }: SessionOptions,
): BuildSession {
  const id = randomBytes(16).toString("hex");
  const headers = new Headers({
    "x-docker-expose-session-uuid": id,
    "x-docker-expose-session-name": "docker-over-ssh",
    "x-docker-expose-session-sharedkey": order.contextPlace ?? order.contextKey,
    // BuildKit calls the other methods even if they are not announced.
    "x-docker-expose-session-grpc-method": DIFF_COPY,
  });
  const stream = new SessionStream(createClient(Control, connection.transport), headers, signal);
  let [served, isOver] = [0, false];
  let [error, broken]: [Error | undefined, Error | undefined] = [undefined, undefined];
  stream.on("error", () => {}); // "close" follows
  stream.once("close", () => {
    if (!isOver) broken = stream.errored ?? new Error("BuildKit has ended its session");
  });
  const fail = (reason: unknown): void => void (error ??= reason as Error);
  const onServed = (bytes: number): void => void (served += bytes);
  const raw = context === undefined ? {} : { [DIFF_COPY]: fileSync(context, { onServed, onFailed: fail }) };
  const server = serveGrpc(stream, { routes: userServices(order, answers), raw });
  return {
    id,
    get error() {
      return error;
    },
    get broken() {
      return broken;
    },
    get served() {
      return served;
    },
    [Symbol.dispose]() {
      isOver = true;
      server[Symbol.dispose]();
    },
  };
}
