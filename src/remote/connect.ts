import { shownCommand } from "../output/secrets.ts";
import type { TransferRequest } from "../request.ts";
import { connectByCommand, type Connect, type Context } from "../transfer.ts";

/**
 * Returns the connection to the remote side that the request names. Code that only one kind needs is imported in this
 * function, so the command starts 15 ms earlier. Throws a `usage` Failure for options that this kind does not support.
 */
export async function chooseConnection(request: TransferRequest, context: Context): Promise<Connect> {
  const { connection } = request;
  if (connection.kind === "engine") return await connectToEngine(connection.words, request, context);
  if (connection.kind === "location") {
    const { connectToLocation } = await import("./connect-location.ts");
    return connectToLocation(connection, request, context);
  }
  if (connection.kind !== "host") return connectByCommand(request, context);
  const { connectToHost } = await import("./connect-host.ts");
  return connectToHost(connection, request, context);
}

async function connectToEngine(
  command: readonly string[],
  request: TransferRequest,
  context: Context,
): Promise<Connect> {
  const [{ connectToEngineOnly }, { runRemoteCommand }] = await Promise.all([
    import("./engine-only/engine-only-transfer.ts"),
    import("./login/remote-command.ts"),
  ]);
  const words = shownCommand(command);
  const start = () => runRemoteCommand(command, { words, byHand: words }, request, context);
  return connectToEngineOnly(request, context, () => ({
    address: { host: `\`${words}\``, source: "over its stdin and stdout" },
    link: start(),
    again: start,
  }));
}
