import { messageOf } from "../output/errors.ts";
import { askOnTerminal } from "../output/ask-on-terminal.ts";
import type { Output } from "../output/output.ts";
import { deadline } from "../streams/deadline.ts";
import { refusal } from "./problem.ts";
import type { ServiceClient } from "./service-client.ts";

export interface StopOptions {
  output: Output;
  /** Why this process ends: the name of the signal with which main.ts aborts. */
  reason: unknown;
  mayPrompt: boolean;
  /** Asks a question and returns the typed answer. Default: on the terminal of this process */
  ask?: ((question: string) => Promise<string | undefined>) | undefined;
}

/** ms for a cancellation */
const CANCEL_TIMEOUT = 15_000;

/**
 * Decides the fate of the build when this process must end. Ctrl-C on a terminal asks. A closed terminal (SIGHUP) leaves the build running, because
 * nobody can be asked. Any other signal cancels the build, as for a CI job that is cancelled.
 */
export async function stopBuild(client: ServiceClient, id: string, options: StopOptions): Promise<void> {
  const { output } = options;
  if (!(await isToBeCancelled(options))) {
    output.note({ code: "build-left", id, server: client.address.shown });
    return;
  }
  using limit = deadline(CANCEL_TIMEOUT);
  try {
    const { signal } = limit;
    const answer = await client.json({ method: "POST", path: `api/v2/builds/${id}/cancel`, signal });
    if (answer.status < 200 || answer.status >= 300) throw refusal(answer, client.address);
    output.note({ code: "build-cancelled", id });
  } catch (error) {
    output.warn({ code: "build-not-cancelled", id, error: messageOf(error) });
  }
}

async function isToBeCancelled({ reason, mayPrompt, ask = askHere }: StopOptions): Promise<boolean> {
  const { signal } = (reason ?? {}) as { signal?: unknown };
  if (signal === "SIGHUP") return false;
  if (signal !== "SIGINT" || !mayPrompt) return true;
  const answer = await ask("Cancel the build on the server? [y]es, or [n]o: leave it running: ");
  return /^\s*y/i.test(answer ?? "");
}

async function askHere(question: string): Promise<string | undefined> {
  return await askOnTerminal(question, { isShown: true });
}
