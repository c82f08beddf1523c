import type { Platform } from "../image/platform.ts";
import { messageOf } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import { abortable } from "../streams/abortable.ts";
import { push } from "../push.ts";
import { isBuild, type HostConnection, type PushRequest, type TransferRequest } from "../request.ts";
import { overTunnel } from "../stdio-tunnel/open.ts";
import { trafficBy } from "../traffic.ts";
import { tunnelOptions, type Context, type Connect } from "../transfer.ts";
import { readBundle } from "./script/bundle.ts";
import { connectToEngineOnly } from "./engine-only/engine-only-transfer.ts";
import { engineOn, withoutScript } from "./host-engine.ts";
import { hostName, loginByHand, loginCommand } from "./login/login.ts";
import { requestedName, remoteNameOf } from "./engine-only/remote-names.ts";
import { runRemoteCommand, type RemoteCommandOptions, type RemoteCommand } from "./login/remote-command.ts";
import { explainTunnelFailure } from "./login/remote-errors.ts";
import { scriptWords } from "./script/remote-script.ts";
import { SentNode } from "./node/sent-node.ts";
import { startRemoteProgram } from "./start-remote-program.ts";

/**
 * Connects with one login to the best program that can run the remote side on the host: docker-over-ssh, which may be sent there, or the
 * engine.
 */
export function connectToHost(
  connection: HostConnection,
  request: TransferRequest,
  context: Context,
  sudo: RemoteCommandOptions["sudo"] = connection.sudo ? {} : undefined,
): Connect {
  const shown = shownCommand([...loginCommand(connection, []), "(the remote script)"]);
  const commandOptions = { words: connection.given, byHand: loginByHand(connection), shown, sudo };
  const start = (programs = connection.programs): RemoteCommand => {
    const words = scriptWords({ ...connection, programs, bundle: readBundle(), words: remoteWords(request) });
    return runRemoteCommand(loginCommand(connection, words), commandOptions, request, context);
  };
  return async (use, options) => {
    await abortable(Promise.resolve(context.login?.()), options.signal);
    await using link = start();
    const { signal } = options;
    const started = await startRemoteProgram(link, connection, request, {
      output: context.output,
      signal,
      acceptsCommand: true,
      sentNode: new SentNode(connection, { ...context, signal }),
      sendImage: async (platform) => await sendImage(platform, connection, request, { ...context, signal }, sudo),
    });
    if (started.kind === "tunnel") {
      context.output.detail({ code: "remote-found", host: connection.given, program: started.program });
      try {
        return await overTunnel(
          tunnelOptions(request, { kind: "running", process: link.child }, context, options),
          async (tunnel, stop) => await use(tunnel, stop, trafficBy(started.program, tunnel)),
        );
      } catch (error) {
        throw explainTunnelFailure(link, error);
      }
    }
    const engine =
      started.kind === "engine"
        ? { ...engineOn(connection, started), link, again: () => start(["engine"]) }
        : withoutScript(connection, request, context, started.status);
    context.output.note({ code: "engine-only", host: hostName(connection), command: engine.address.source });
    return await connectToEngineOnly(request, context, () => engine)(use, options);
  };
}

/** Returns the arguments of docker-over-ssh on the remote side, which receives the platform through the tunnel. */
function remoteWords(request: TransferRequest): string[] {
  const { timeout } = request;
  const options = timeout === undefined ? [] : ["--timeout", String(timeout / 1000)];
  if (isBuild(request)) return ["build", ...options];
  if (request.role === "sender") return ["pull", ...options, remoteNameOf(request).given];
  return ["push", ...options, requestedName(request).given];
}

/** Sends the image for a container to the remote engine, if this side has it. Returns whether the image was sent. */
async function sendImage(
  platform: Platform,
  connection: HostConnection,
  request: TransferRequest,
  context: Context,
  sudo: RemoteCommandOptions["sudo"],
): Promise<boolean> {
  if (!connection.isImageRequested) return false;
  const engine = request.role === "sender" ? request.source : request.target;
  const { image } = connection;
  const toEngine: HostConnection = { ...connection, programs: ["engine"], isImageRequested: false };
  const imageRequest: PushRequest = {
    ...request,
    role: "sender",
    connection: toEngine,
    source: {
      kind: "docker-daemon",
      given: image.given,
      image: { given: image.given, reference: image },
      endpoint: engine.kind === "docker-daemon" ? engine.endpoint : undefined,
      registry: { kind: "embedded" },
    },
    as: image,
    remoteName: image,
    platform,
  };
  try {
    await push(imageRequest, context, connectToHost(toEngine, imageRequest, context, sudo));
    return true;
  } catch (error) {
    context.signal.throwIfAborted();
    context.output.detail({ code: "image-not-sent", image: image.given, error: messageOf(error) });
    return false;
  }
}
