import { messageOf } from "docker-over-ssh/builds";

/** Runs `work` on each SIGHUP, until it is disposed of. What fails is told, and changes nothing. */
export function onHangUp(work: () => Promise<void>, tell: (line: string) => void): Disposable {
  const listener = (): void => void work().catch((error: unknown) => tell(messageOf(error)));
  process.on("SIGHUP", listener);
  return { [Symbol.dispose]: () => process.off("SIGHUP", listener) };
}
