import { Failure } from "../output/errors.ts";

/** ms between two signs of life to a client while nothing else is printed. */
export const SIGN_OF_LIFE = 15_000;

/** A signal, with what is needed to end the watch for it. */
export interface ClientWatch extends Disposable {
  /** Aborted with a Failure `link-lost` when nobody reads what this process prints. */
  readonly signal: AbortSignal;
}

/**
 * Watches whether the client of an ssh connection is still there. sshd ends no program when a connection ends that has no terminal, and stdin
 * tells nothing: the archive on it has ended long ago. But sshd closes the pipes: writing to one fails with EPIPE then. So this process
 * must print something now and then, see {@link SIGN_OF_LIFE}. With a terminal there is a SIGHUP as well, as for any command.
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
      // A stream without any listener would turn a later error into an uncaught one.
      for (const stream of streams) stream.on("error", () => {}).off("error", onError);
    },
  };
}
