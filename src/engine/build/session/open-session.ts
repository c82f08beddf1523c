import { randomBytes } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import type { BuildContext } from "../../../build-context/build-context.ts";
import { Control } from "../../buildkit/gen/control_pb.ts";
import type { BuildAnswers, BuildOrder } from "../../engine-builds.ts";
import type { GrpcConnection } from "../../grpc/grpc-connection.ts";
import { serveGrpc } from "../../grpc/grpc-server.ts";
import { questions } from "./answer-questions.ts";
import { fileSync } from "./file-sync.ts";
import { SessionStream } from "./session-stream.ts";

const DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy";
export interface SessionOptions {
  order: Pick<BuildOrder, "secrets" | "agents" | "contextKey" | "contextPlace">;
  answers: BuildAnswers;
  /** Served as the context and as the folder of the Dockerfile; undefined: they come another way. */
  context: BuildContext | undefined;
  signal: AbortSignal;
}

/** A session of BuildKit's, in which it asks for files and secrets while it builds. Disposing ends it. */
export interface BuildSession extends Disposable {
  /** For the request that starts the build */
  readonly id: string;
  /** Why a context could not be sent: the cause of what BuildKit then reports. */
  readonly error: Error | undefined;
  /** Why the session ended before it was disposed */
  readonly broken: Error | undefined;
  /** Bytes of files that BuildKit lacked */
  readonly served: number;
}

/** Opens a session (moby/buildkit, `session/`). Of this connection BuildKit is the client; it waits for a session that is not open yet. */
export function openSession(
  connection: GrpcConnection,
  { order, answers, context, signal }: SessionOptions,
): BuildSession {
  const id = randomBytes(16).toString("hex");
  const headers = new Headers({
    "x-docker-expose-session-uuid": id,
    "x-docker-expose-session-name": "docker-over-ssh",
    "x-docker-expose-session-sharedkey": order.contextPlace ?? order.contextKey,
    // BuildKit calls the other methods without having them announced.
    "x-docker-expose-session-grpc-method": DIFF_COPY,
  });
  const stream = new SessionStream(createClient(Control, connection.transport), headers, signal);
  let [served, isOver] = [0, false];
  let [error, broken]: [Error | undefined, Error | undefined] = [undefined, undefined];
  stream.on("error", () => {}); // it closes as well
  stream.once("close", () => {
    if (!isOver) broken = stream.errored ?? new Error("BuildKit has ended its session");
  });
  const fail = (reason: unknown): void => void (error ??= reason as Error);
  const onServed = (bytes: number): void => void (served += bytes);
  const raw = context === undefined ? {} : { [DIFF_COPY]: fileSync(context, { onServed, onFailed: fail }) };
  const server = serveGrpc(stream, { routes: questions(order, answers), raw });
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
