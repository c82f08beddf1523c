import { Failure } from "../output/errors.ts";

/** ms of silence after which a line is printed for the client. */
export const SIGN_OF_LIFE = 15_000;

/** Watches a client. Disposing ends the watch. */
export interface ClientWatch extends Disposable {
  /** Aborted with a Failure `link-lost` when nobody reads the output of this process. */
  readonly signal: AbortSignal;
}

/**
 * Watches whether the client of an ssh connection is still connected. When a connection without a terminal ends, sshd does not end the program, and
 * stdin shows nothing, because the archive on it ended long before. But sshd closes the pipes, so writing to one fails with EPIPE. Therefore this
 * process must print something regularly, see {@link SIGN_OF_LIFE}. With a terminal, the process also gets a SIGHUP, like any command.
 */
export function watchClient(streams: readonly NodeJS.WritableStream[] = [process.stdout, process.stderr]): ClientWatch {
  const gone = new AbortController();
  const onError = (cause: Error): void =>
    gone.abort(
      new Failure("link-lost", "the client has closed the connection", {
        expected: "a client that waits for the build",
        hint: "Send the archive again.",
        cause,
      }),
    );
  for (const stream of streams) stream.on("error", onError);
  return {
    signal: gone.signal,
    [Symbol.dispose]() {
      // Without a listener, a later error of the stream would be an uncaught exception.
      for (const stream of streams) stream.on("error", () => {}).off("error", onError);
    },
  };
}
