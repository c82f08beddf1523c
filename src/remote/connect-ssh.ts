import { engineSpeaksHttp2 } from "../engine/buildkit/connect-grpc.ts";
import { tryByHand } from "../engine/connect/ssh-command.ts";
import type { SshConnection, TransferRequest } from "../request.ts";
import { overTunnel } from "../stdio-tunnel/open.ts";
import { readUntil } from "../streams/read-until.ts";
import { tunnelOptions, type Context, type Connect } from "../transfer.ts";
import { connectToEngineOnly, remoteNameOf } from "./engine-only-transfer.ts";
import { firstWord, runRemoteCommand, type RemoteCommand } from "./remote-command.ts";
import { noEngine, noTunnel, noneInstalled } from "./remote-errors.ts";
import { findMark, sshCommand, type RemoteProgram } from "./ssh-location.ts";

/** Bytes that a login shell may print before it runs what it is told to. */
const MAX_NOISE = 64 * 1024;

/** One ssh, whatever is found at its end. */
export function connectOverSsh(connection: SshConnection, request: TransferRequest, context: Context): Connect {
  const { output } = context;
  const named = { words: connection.given, byHand: tryByHand(connection.address) };
  const command = sshCommand(connection, remoteWords(request));
  const start = (): RemoteCommand => runRemoteCommand(command, named, request, context);
  return async (use, out) => {
    await using link = start();
    const { program, apiVersion } = await whatIsThere(link, connection, request, { output, signal: out.signal });
    if (program === "docker-over-ssh") {
      output.detail(`remote side: docker-over-ssh on ${connection.given}`);
      try {
        return await overTunnel(
          tunnelOptions(request, { kind: "running", process: link.far }, context, out),
          async (tunnel, stop) => await use(tunnel, stop, tunnel),
        );
      } catch (error) {
        throw noTunnel(link, error);
      }
    }
    const source = `${program} system dial-stdio`;
    output.note({ code: "engine-only", host: connection.address.hostname, command: source });
    const address = { host: connection.given, source };
    // A command that is run once more finds the same, and says so: its words are passed over as noise.
    const speaksHttp2 = apiVersion !== undefined && engineSpeaksHttp2(apiVersion);
    return await connectToEngineOnly(request, context, () => ({ address, link, again: start, speaksHttp2 }))(use, out);
  };
}

/** The arguments of docker-over-ssh on the remote side. It learns the platform through the tunnel. */
function remoteWords(request: TransferRequest): string[] {
  const { timeout } = request;
  const options = timeout === undefined ? [] : ["--timeout", String(timeout / 1000)];
  if (request.role === "sender") return ["pull", ...options, remoteNameOf(request).given];
  return ["push", ...options, request.image.given];
}

/** What the script has become, and of a Docker the API version of its engine, where that says it. */
interface Found {
  program: RemoteProgram;
  apiVersion?: string | undefined;
}

/** Reads the line in which the script says which program it has found and become. */
async function whatIsThere(
  link: RemoteCommand,
  { given }: SshConnection,
  request: TransferRequest,
  { output, signal }: Pick<Context, "output" | "signal">,
): Promise<Found> {
  const read = async (stop: AbortSignal) =>
    await readUntil(link.far.stdout, findMark, { max: MAX_NOISE, signal: stop });
  const { found, before } = await firstWord(link, request, signal, read);
  if (found === undefined) throw noEngine(link, await link.far.exit(), before);
  if (before.trim() !== "") output.detail(`before the remote side began, it printed: ${before.trim().slice(0, 4096)}`);
  const [program = "", ...words] = found.words.split(" ");
  if (program === "docker") return { program, apiVersion: words[0] };
  if (program === "docker-over-ssh" || program === "podman") return { program };
  throw noneInstalled(given, words.join(" "));
}
