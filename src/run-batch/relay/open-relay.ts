import { shownCommand } from "../../output/secrets.ts";
import type { HostConnection, RelayOrder, SharedRequest } from "../../request.ts";
import type { Context } from "../../transfer.ts";
import { readBundle } from "../../remote/script/bundle.ts";
import { loginByHand, loginCommand } from "../../remote/login/login.ts";
import { runRemoteCommand, withinAnswerTimeout } from "../../remote/login/remote-command.ts";
import { scriptWords } from "../../remote/script/remote-script.ts";
import { SentNode } from "../../remote/node/sent-node.ts";
import { startRemoteProgram } from "../../remote/start-remote-program.ts";
import { noRelayOnHost } from "./relay-errors.ts";
import { canRelay } from "./relay-programs.ts";
import { RelayDialog } from "./relay-dialog.ts";

/** A relay on the first host that is ready and waiting. Disposing ends the relay and its pushes. */
export interface Relay extends AsyncDisposable {
  /** Like `pass` of {@link RelayDialog} */
  pass(images: readonly string[], onLine: (line: string) => void): Promise<void>;
}

/**
 * Logs in to the first host, and starts docker-over-ssh there as a relay. This happens before anything is sent, so that a host that cannot
 * pass images on is reported early, and nobody waits at a terminal for the question of a second login.
 */
export async function openRelay(
  first: HostConnection,
  order: RelayOrder,
  { bwlimit, timeout }: Pick<SharedRequest, "bwlimit" | "timeout">,
  context: Context,
): Promise<Relay> {
  const { output, signal } = context;
  const connection = { ...first, programs: first.programs.filter(canRelay) };
  const commandOptions = {
    words: connection.given,
    byHand: loginByHand(connection),
    shown: shownCommand([...loginCommand(connection, []), "(the remote script, for the relay)"]),
    sudo: connection.sudo ? {} : undefined,
  };
  const words = scriptWords({ ...connection, bundle: readBundle(), isRelay: true, words: ["relay"] });
  const link = runRemoteCommand(loginCommand(connection, words), commandOptions, { bwlimit }, context);
  const dialog = new RelayDialog(link, connection);
  const sendImage = async (): Promise<boolean> => await Promise.resolve(false); // no container
  try {
    const options = { output, signal, sentNode: new SentNode(connection, context), sendImage };
    await startRemoteProgram(link, connection, { role: "sender", timeout }, options).catch((error: unknown) => {
      throw noRelayOnHost(connection, error);
    });
    const either = AbortSignal.any([signal, link.signal]);
    await withinAnswerTimeout(link, { timeout }, either, async (stop) => await dialog.sendOrder(order, stop));
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
  return {
    pass: async (images, onLine) => await dialog.pass(images, onLine, { signal, timeout }),
    [Symbol.asyncDispose]: async () => await link[Symbol.asyncDispose](),
  };
}
