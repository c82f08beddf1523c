import { messageOf } from "docker-over-ssh/builds";

/** Runs `work` on each SIGHUP, until it is disposed of. A failure is printed, and changes nothing. */
export function onHangUp(work: () => Promise<void>, printLine: (line: string) => void): Disposable {
  const listener = (): void => void work().catch((error: unknown) => printLine(messageOf(error)));
  process.on("SIGHUP", listener);
  return { [Symbol.dispose]: () => process.off("SIGHUP", listener) };
}
