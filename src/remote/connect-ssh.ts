import { engineSpeaksHttp2 } from "../engine/grpc/connect-grpc.ts";
import { tryByHand } from "../engine/connect/ssh-command.ts";
import type { SshConnection, TransferRequest } from "../request.ts";
import { overTunnel } from "../stdio-tunnel/open.ts";
import { readUntil } from "../streams/read-until.ts";
import { tunnelOptions, type Context, type Connect } from "../transfer.ts";
import { connectToEngineOnly, remoteNameOf } from "./engine-only-transfer.ts";
import { withinAnswerTimeout, runRemoteCommand, type RemoteCommand } from "./remote-command.ts";
import { engineUnreachable, explainTunnelFailure, nothingInstalled } from "./remote-errors.ts";
import { findMarker, sshCommand, type RemoteProgram } from "./ssh-script.ts";

/** Bytes that a login shell may print before it runs the command. */
const MAX_NOISE = 64 * 1024;

/** Connects by one ssh to whichever program the host has: docker-over-ssh, docker or podman. */
export function connectOverSsh(connection: SshConnection, request: TransferRequest, context: Context): Connect {
  const { output } = context;
  const named = { words: connection.given, byHand: tryByHand(connection.address) };
  const command = sshCommand(connection, remoteWords(request));
  const start = (): RemoteCommand => runRemoteCommand(command, named, request, context);
  return async (use, options) => {
    await using link = start();
    const { program, apiVersion } = await findRemoteProgram(link, connection, request, {
      output,
      signal: options.signal,
    });
    if (program === "docker-over-ssh") {
      output.detail({ code: "remote-found", host: connection.given });
      try {
        return await overTunnel(
          tunnelOptions(request, { kind: "running", process: link.child }, context, options),
          async (tunnel, stop) => await use(tunnel, stop, tunnel),
        );
      } catch (error) {
        throw explainTunnelFailure(link, error);
      }
    }
    const source = `${program} system dial-stdio`;
    output.note({ code: "engine-only", host: connection.address.hostname, command: source });
    const address = { host: connection.given, source };
    // When the command runs once more, its marker is skipped as noise.
    const speaksHttp2 = apiVersion !== undefined && engineSpeaksHttp2(apiVersion);
    return await connectToEngineOnly(request, context, () => ({ address, link, again: start, speaksHttp2 }))(
      use,
      options,
    );
  };
}

/** The arguments of docker-over-ssh on the remote side. It learns the platform through the tunnel. */
function remoteWords(request: TransferRequest): string[] {
  const { timeout } = request;
  const options = timeout === undefined ? [] : ["--timeout", String(timeout / 1000)];
  if (request.role === "sender") return ["pull", ...options, remoteNameOf(request).given];
  return ["push", ...options, request.image.given];
}

/** The program that the script has become; of docker also its engine's API version, if the engine answered. */
interface Found {
  program: RemoteProgram;
  apiVersion?: string | undefined;
}

/** Reads the marker line, in which the script names the program that it becomes. */
async function findRemoteProgram(
  link: RemoteCommand,
  { given }: SshConnection,
  request: TransferRequest,
  { output, signal }: Pick<Context, "output" | "signal">,
): Promise<Found> {
  const read = async (stop: AbortSignal) =>
    await readUntil(link.child.stdout, findMarker, { max: MAX_NOISE, signal: stop });
  const { found, before } = await withinAnswerTimeout(link, request, signal, read);
  if (found === undefined) throw engineUnreachable(link, await link.child.exit(), before);
  if (before.trim() !== "")
    output.detail({ code: "noise", printedBy: "login-shell", text: before.trim().slice(0, 4096) });
  const [program = "", ...words] = found.words.split(" ");
  if (program === "docker") return { program, apiVersion: words[0] };
  if (program === "docker-over-ssh" || program === "podman") return { program };
  throw nothingInstalled(given, words.join(" "));
}
