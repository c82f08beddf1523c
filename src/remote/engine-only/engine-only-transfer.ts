import { Failure } from "../../output/errors.ts";
import { formatCompressOption } from "../../packing/compress-option.ts";
import type { TransferRequest } from "../../request.ts";
import { CONVERSATIONS } from "../../stdio-tunnel/constants.ts";
import { runWithOtherSide } from "../../stdio-tunnel/in-process.ts";
import { abortable } from "../../streams/abortable.ts";
import { explainError } from "../../explain-error.ts";
import { trafficBy } from "../../traffic.ts";
import { featuresOf, type Context, type Connect } from "../../transfer.ts";
import { VERSION } from "../../version.ts";
import { engineSide, engineSideForImages } from "./engine-side.ts";
import { openRemoteEngine, type RemoteEngineOptions } from "./remote-engine.ts";

/**
 * Connects to a remote engine without docker-over-ssh. Both sides of the transfer run in this process; the other side uses the remote
 * engine like an engine of its own machine. Throws a `usage` Failure for options that need docker-over-ssh on the remote side.
 */
export function connectToEngineOnly(
  request: TransferRequest,
  context: Context,
  start: () => Pick<RemoteEngineOptions, "address" | "link" | "again" | "speaksHttp2">,
): Connect {
  if (request.role === "receiver" && request.target.kind === "docker-daemon" && request.target.via === "pull") {
    throw new Failure("usage", "--via pull needs docker-over-ssh on the remote side, which has only an engine", {
      expected: "--via load, or docker-over-ssh on the remote side",
      hint: "Omit --via pull, or install docker-over-ssh there.",
    });
  }
  refuseCodec(request);
  const singleImage = engineSide(request);
  return async (use, options) => {
    const playOtherSide = options.features?.includes(CONVERSATIONS) ? engineSideForImages(request) : singleImage;
    const begun = start();
    await using _ = begun.link; // even if no engine is opened over it
    await abortable(options.ready, options.signal);
    await using remote = await openRemoteEngine({ ...begun, request, context });
    const signal = AbortSignal.any([context.signal, remote.signal]);
    const traffic = trafficBy("engine", remote.traffic);
    return await runWithOtherSide(
      request.role,
      async (tunnel, stop) => await use(tunnel, stop, traffic),
      async (tunnel, stop) => await playOtherSide(remote.engine, tunnel, { ...context, signal: stop }),
      {
        tool: VERSION,
        features: [...featuresOf(request), ...(options.features ?? [])],
        signal,
        explain: explainError,
      },
    );
  };
}

/** Layers are not packed between two sides in one process. The archive for a remote engine is compressed with gzip, or not at all. */
function refuseCodec({ role, compress: choice }: TransferRequest): void {
  if (choice === undefined || choice.how === "auto" || choice.how === "none") return;
  if (role === "sender" && choice.how === "gzip") return;
  const words = `--compress ${formatCompressOption(choice)} needs docker-over-ssh on the remote side, which has only an engine`;
  if (role === "sender") {
    throw new Failure("usage", `${words}, and it accepts only gzip`, {
      expected: "auto, none, gzip or gzip:LEVEL",
      hint: "Choose one of these, or install docker-over-ssh there.",
    });
  }
  throw new Failure("usage", `${words}, and it sends layers as it stores them`, {
    expected: "auto or none",
    hint: "Omit --compress, or install docker-over-ssh there; `ssh -C` compresses all traffic.",
  });
}
