import type { Engine } from "../engine/engine.ts";
import type { ImageName } from "../image/image-name.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { formatCompressOption, type CompressOption } from "../packing/compress-option.ts";
import { receive } from "../pull.ts";
import { send } from "../push.ts";
import { engineTarget } from "../receive/engine-target.ts";
import type { PullRequest, PushRequest, SharedRequest, TransferRequest } from "../request.ts";
import { engineSource } from "../send/engine-source.ts";
import { runBothSides, type Side } from "../stdio-tunnel/in-process.ts";
import { abortable } from "../streams/abortable.ts";
import { explainError, featuresOf, trafficBy, type Context, type Connect } from "../transfer.ts";
import { VERSION } from "../version.ts";
import { openRemoteEngine, type RemoteEngineOptions } from "./remote-engine.ts";

/**
 * Connects to a remote engine without docker-over-ssh. Both sides of the transfer run in this process; the other side works with the
 * remote engine as it would with an engine of its own machine. Throws a `usage` Failure for options that need docker-over-ssh there.
 */
export function connectToEngineOnly(
  request: TransferRequest,
  context: Context,
  start: () => Pick<RemoteEngineOptions, "address" | "link" | "again" | "speaksHttp2">,
): Connect {
  if (request.role === "receiver" && request.target.kind === "docker-daemon" && request.target.via === "pull") {
    throw new Failure("usage", "--via pull needs docker-over-ssh on the remote side, which has only an engine", {
      expected: "--via load, or docker-over-ssh on the remote side",
      hint: "Leave --via pull out, or install docker-over-ssh there.",
    });
  }
  refuseCodec(request);
  const playOtherSide = otherSide(request);
  return async (use, options) => {
    const begun = start();
    await using _ = begun.link; // also when no engine is opened over it
    await abortable(options.ready, options.signal);
    await using remote = await openRemoteEngine({ ...begun, request, context });
    const signal = AbortSignal.any([context.signal, remote.signal]);
    let result: { value: Awaited<ReturnType<typeof use>> } | undefined;
    const near: Side = async (tunnel, stop) => {
      result = { value: await use(tunnel, stop, trafficBy("engine", remote.traffic)) };
    };
    const other: Side = async (tunnel, stop) => {
      await playOtherSide(remote.engine, tunnel, { ...context, signal: stop });
    };
    const halves = request.role === "sender" ? { sender: near, receiver: other } : { sender: other, receiver: near };
    await runBothSides(halves, {
      tool: VERSION,
      features: featuresOf(request),
      signal,
      explain: explainError,
    });
    if (result === undefined) throw new Error("the transfer has ended without a result");
    return result.value;
  };
}

/** Layers are not packed between two sides in one process. The archive for a remote engine is compressed with gzip, or not at all. */
function refuseCodec({ role, compress: choice }: TransferRequest): void {
  if (choice === undefined || choice.how === "auto" || choice.how === "none") return;
  if (role === "sender" && choice.how === "gzip") return;
  const words = `--compress ${formatCompressOption(choice)} needs docker-over-ssh on the remote side, which has only an engine`;
  if (role === "sender") {
    throw new Failure("usage", `${words}, which takes only gzip`, {
      expected: "auto, none, gzip or gzip:LEVEL",
      hint: "Choose one of these, or install docker-over-ssh there.",
    });
  }
  throw new Failure("usage", `${words}, which sends layers as it stores them`, {
    expected: "auto or none",
    hint: "Leave --compress out, or install docker-over-ssh there; `ssh -C` compresses whatever passes.",
  });
}

/** Podman takes no compressed archive. */
async function refusePodman(engine: Engine, choice: CompressOption | undefined): Promise<void> {
  if (choice?.how !== "gzip" || (await engine.info()).store !== "podman") return;
  throw new Failure(
    "usage",
    `--compress ${formatCompressOption(choice)}: the remote engine is Podman, which takes only uncompressed archives`,
    {
      expected: "auto or none",
      hint: "Leave --compress out, or install docker-over-ssh there; `ssh -C` compresses whatever passes.",
    },
  );
}

type OtherSide = (engine: Engine, tunnel: Parameters<Side>[0], context: Context) => Promise<void>;

/** Returns the side at the remote engine. The other one, with this request's own connection, shares the progress with people. */
function otherSide(request: TransferRequest): OtherSide {
  const { platform, timeout, compress, bwlimit, delta, preserveDigest, dryRun } = request;
  const connection = { kind: "in-process" } as const;
  const options: SharedRequest = { connection, platform, timeout, compress, bwlimit, delta, preserveDigest, dryRun };
  if (request.role === "receiver") {
    return async (engine, tunnel, context) => {
      await send(tunnel, engineSource(engine, { kind: "embedded" }, askedOf(request)), options, context);
    };
  }
  const name = remoteNameOf(request);
  return async (engine, tunnel, context) => {
    await refusePodman(engine, compress);
    const target = await engineTarget(engine);
    const image = { given: name.given, reference: name };
    await receive(tunnel, target, { ...options, image, name, isRenamed: false, further: request.further }, context);
  };
}

/** Returns the image that the remote side is asked for, which starts with its name. */
export function askedOf({ image }: PullRequest): ImageName {
  if (image !== undefined) return image;
  throw new Failure("usage", "no IMAGE is named", { expected: "the name of an image there" });
}

/** Returns the name that the image gets on the remote side. Throws a `usage` Failure where neither the request nor the archive has one. */
export function remoteNameOf({ remoteName, source }: PushRequest): Reference {
  if (remoteName !== undefined) return remoteName;
  throw new Failure("usage", `${source.given} does not name the image, and the remote side needs a name for it`, {
    expected: "a name behind the path, or --as NAME",
    hint: `For instance ${source.given}:app:v2.`,
  });
}
