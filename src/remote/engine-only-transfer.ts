import { ASKS_AGAIN, CUTS_ON_DEMAND } from "../conversation/messages.ts";
import type { Engine } from "../engine/engine.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { formatCompressOption, type CompressOption } from "../packing/compress-option.ts";
import { receive } from "../pull.ts";
import { send } from "../push.ts";
import { engineTarget } from "../receive/engine-target.ts";
import type { PushRequest, TransferOptions, TransferRequest } from "../request.ts";
import { engineSource } from "../send/engine-source.ts";
import { runBothSides, type Side } from "../stdio-tunnel/in-process.ts";
import { abortable } from "../streams/abortable.ts";
import { explained, type Context, type Connect } from "../transfer.ts";
import { VERSION } from "../version.ts";
import { openRemoteEngine, type RemoteEngineOptions } from "./remote-engine.ts";

/**
 * Connects to an engine alone: no docker-over-ssh is on the remote side. Both sides of the transfer are in this process, and the other
 * side treats the remote engine as it would an engine of its own machine. Throws a `usage` Failure for options that need more.
 */
export function connectToEngineOnly(
  request: TransferRequest,
  context: Context,
  start: () => Pick<RemoteEngineOptions, "address" | "link" | "again" | "speaksHttp2">,
): Connect {
  if (request.role === "receiver" && request.target.kind === "docker-daemon" && request.target.via === "pull") {
    throw new Failure("usage", "--via pull needs docker-over-ssh on the other side, and there is only an engine", {
      expected: "an engine here that loads what it lacks",
      hint: "Leave --via pull out, or install docker-over-ssh there.",
    });
  }
  refuseCodec(request);
  const playOtherSide = otherSide(request);
  return async (use, out) => {
    const begun = start();
    await using _ = begun.link; // also when nothing is ever asked of it
    await abortable(out.ready, out.signal);
    await using far = await openRemoteEngine({ ...begun, request, context });
    const signal = AbortSignal.any([context.signal, far.signal]);
    let result: { value: Awaited<ReturnType<typeof use>> } | undefined;
    const near: Side = async (tunnel, stop) => {
      result = { value: await use(tunnel, stop, far.traffic) };
    };
    const other: Side = async (tunnel, stop) => {
      await playOtherSide(far.engine, tunnel, { ...context, signal: stop });
    };
    const halves = request.role === "sender" ? { sender: near, receiver: other } : { sender: other, receiver: near };
    await runBothSides(halves, { tool: VERSION, features: [ASKS_AGAIN, CUTS_ON_DEMAND], signal, explain: explained });
    if (result === undefined) throw new Error("the transfer has ended without a result");
    return result.value;
  };
}

/** Between the two sides nothing is packed; what goes to the engine is, by gzip or not at all. */
function refuseCodec({ role, compress: choice }: TransferRequest): void {
  if (choice === undefined || choice.how === "auto" || choice.how === "none") return;
  if (role === "sender" && choice.how === "gzip") return;
  const words = `--compress ${formatCompressOption(choice)} needs docker-over-ssh on the other side, and there is only an engine`;
  if (role === "sender") {
    throw new Failure("usage", `${words}, which takes gzip and no other`, {
      expected: "auto, none, gzip or gzip:LEVEL",
      hint: "Choose one of these, or install docker-over-ssh there.",
    });
  }
  throw new Failure("usage", `${words}, which gives layers as it has them`, {
    expected: "auto or none",
    hint: "Leave --compress out, or install docker-over-ssh there; `ssh -C` compresses whatever passes.",
  });
}

/** Podman takes archives plain, whatever was asked for. */
async function refusePodman(engine: Engine, choice: CompressOption | undefined): Promise<void> {
  if (choice?.how !== "gzip" || (await engine.info()).store !== "podman") return;
  throw new Failure(
    "usage",
    `--compress ${formatCompressOption(choice)}: the engine on the other side is Podman, which takes archives only plain`,
    {
      expected: "auto or none",
      hint: "Leave --compress out, or install docker-over-ssh there; `ssh -C` compresses whatever passes.",
    },
  );
}

type OtherSide = (engine: Engine, tunnel: Parameters<Side>[0], context: Context) => Promise<void>;

/** What the side at the remote engine does. The side here, which a person reads, has its own connection and prints the progress. */
function otherSide(request: TransferRequest): OtherSide {
  const { platform, timeout, compress, bwlimit, delta, preserveDigest } = request;
  const connection = { kind: "in-process" } as const;
  const options: TransferOptions = { connection, platform, timeout, compress, bwlimit, delta, preserveDigest };
  if (request.role === "receiver") {
    return async (engine, tunnel, context) => {
      await send(tunnel, engineSource(engine, { kind: "embedded" }, request.image), options, context);
    };
  }
  const name = remoteNameOf(request);
  return async (engine, tunnel, context) => {
    await refusePodman(engine, compress);
    const target = await engineTarget(engine);
    target.nameFor(name);
    const image = { given: name.given, reference: name };
    await receive(tunnel, target, { ...options, image, name, isRenamed: false }, context);
  };
}

/** The name that the image gets on the remote side. Throws a `usage` Failure where neither this side nor the archive has one. */
export function remoteNameOf({ remoteName, source }: PushRequest): Reference {
  if (remoteName !== undefined) return remoteName;
  throw new Failure("usage", `${source.given} does not name the image, and the remote side needs a name for it`, {
    expected: "a name behind the path, or --as NAME",
    hint: `For instance ${source.given}:app:v2.`,
  });
}
