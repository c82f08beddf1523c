import { engineSpeaksHttp2 } from "../engine/grpc/connect-grpc.ts";
import { shownCommand } from "../output/secrets.ts";
import type { HostConnection, SharedRequest } from "../request.ts";
import type { Context } from "../transfer.ts";
import { readBundle } from "./script/bundle.ts";
import { hostName, loginByHand, loginCommand } from "./login/login.ts";
import { runRemoteCommand, type RemoteCommand } from "./login/remote-command.ts";
import { openRemoteEngine, type RemoteEngine, type RemoteEngineOptions } from "./engine-only/remote-engine.ts";
import { scriptWords } from "./script/remote-script.ts";
import { SentNode } from "./node/sent-node.ts";
import { startRemoteProgram, type StartedProgram } from "./start-remote-program.ts";

/** How to reach the engine of a host after a login. */
type HostEngineOptions = Pick<RemoteEngineOptions, "address" | "link" | "again" | "speaksHttp2">;

/** Returns the engine that the remote script has started. When the command runs again, the script's lines are skipped as noise. */
export function engineOn(
  { given }: HostConnection,
  { program, apiVersion }: Extract<StartedProgram, { kind: "engine" }>,
): Pick<HostEngineOptions, "address" | "speaksHttp2"> {
  const address = { host: given, source: `${program} system dial-stdio` };
  return { address, speaksHttp2: apiVersion !== undefined && engineSpeaksHttp2(apiVersion) };
}

/** Logs in again, with a command that any shell understands and that a restricted login may allow. */
export function withoutScript(
  connection: HostConnection,
  request: Pick<SharedRequest, "bwlimit">,
  context: Context,
  status: number,
): HostEngineOptions {
  const command = [...loginCommand(connection, []), "docker", "system", "dial-stdio"];
  const commandOptions = { words: connection.given, byHand: loginByHand(connection) };
  const again = (): RemoteCommand => runRemoteCommand(command, commandOptions, request, context);
  context.output.note({ code: "no-remote-shell", host: hostName(connection), status });
  return { ...engineOn(connection, { kind: "engine", program: "docker" }), link: again(), again };
}

/** Opens the engine of a host through a login, without a transfer. The caller owns the engine. Rejects with a Failure if there is none. */
export async function openHostEngine(host: HostConnection, context: Context): Promise<RemoteEngine> {
  const connection: HostConnection = { ...host, programs: ["engine"], isImageRequested: false, asksForNode: false };
  const shown = shownCommand([...loginCommand(connection, []), "(the remote script)"]);
  const sudo = connection.sudo ? {} : undefined;
  const commandOptions = { words: connection.given, byHand: loginByHand(connection), shown, sudo };
  const start = (): RemoteCommand => {
    const words = scriptWords({ ...connection, bundle: readBundle(), words: [] });
    return runRemoteCommand(loginCommand(connection, words), commandOptions, {}, context);
  };
  const link = start();
  try {
    const started = await startRemoteProgram(
      link,
      connection,
      { role: "receiver" },
      {
        output: context.output,
        signal: context.signal,
        sentNode: new SentNode(connection, context),
        sendImage: async () => false,
      },
    );
    if (started.kind === "tunnel") throw new Error("a program was started that was not requested");
    if (started.kind === "engine") {
      const reached = { ...engineOn(connection, started), link, again: start };
      return await openRemoteEngine({ ...reached, request: {}, context });
    }
    const other = withoutScript(connection, {}, context, started.status);
    await link[Symbol.asyncDispose]();
    return await openRemoteEngine({ ...other, request: {}, context });
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
}
