import type { PullRequest, PushRequest } from "../request.ts";
import { engineTarget } from "../receive/engine-target.ts";
import { engineSource } from "../send/engine-source.ts";
import { ASKS_AGAIN, CUTS_ON_DEMAND } from "../conversation/messages.ts";
import type { Engine } from "../engine/engine.ts";
import { referenceOrPlaceholder, type ImageName } from "../image/image-name.ts";
import { Failure } from "../output/errors.ts";
import { formatCompressOption, type CompressOption } from "../packing/compress-option.ts";
import { receive } from "../pull.ts";
import { send } from "../push.ts";
import type { Role } from "../stdio-tunnel/handshake.ts";
import { bothHalves, type Half } from "../stdio-tunnel/in-process.ts";
import { nameless, readImageName, readLocation } from "../locations/locations.ts";
import { abortable } from "../streams/abortable.ts";
import { explained, type Context, type Connect } from "../transfer.ts";
import { VERSION } from "../version.ts";
import { openRemoteEngine, type RemoteEngineOptions } from "./remote-engine.ts";

/** What a transfer is asked for; each direction reads what is its own. */
export type RemoteRequest = PushRequest & PullRequest;

/**
 * No docker-over-ssh at the far end, only an engine: both sides of the transfer are here, and what one of them is to an
 * engine of its own machine, it is to the far one. `role`: of the side whose engine is here.
 */
export function connectToEngineOnly(
  role: Role,
  request: RemoteRequest,
  context: Context,
  start: () => Pick<RemoteEngineOptions, "address" | "link" | "again" | "speaksHttp2">,
): Connect {
  if (role === "receiver" && request.via === "pull") {
    throw new Failure("usage", "--via pull needs docker-over-ssh on the other side, and there is only an engine", {
      expected: "an engine here that loads what it lacks",
      hint: "Leave --via pull out, or install docker-over-ssh there.",
    });
  }
  refuseCodec(role, request.compress);
  const image = readImageName(nameThere(role, request));
  return async (use, out) => {
    const begun = start();
    await using _ = begun.link; // also when nothing is ever asked of it
    await abortable(out.ready, out.signal);
    await using far = await openRemoteEngine({ ...begun, request, context });
    const signal = AbortSignal.any([context.signal, far.signal]);
    const near: Half = async (tunnel, stop) => await use(tunnel, stop, far.wire);
    const other: Half = async (tunnel, stop) => {
      // No command, as with a far end that was started: the side with the person in front of it prints the progress.
      const its = { ...request, as: undefined, command: [], inProcess: true };
      await otherSide[role](far.engine, tunnel, image, its, { ...context, signal: stop });
    };
    const halves = role === "sender" ? { sender: near, receiver: other } : { sender: other, receiver: near };
    await bothHalves(halves, { tool: VERSION, features: [ASKS_AGAIN, CUTS_ON_DEMAND], signal, explain: explained });
  };
}

/** Between the two sides nothing is packed; what goes to the engine is, by gzip or not at all. */
function refuseCodec(role: Role, choice: CompressOption | undefined): void {
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

type OtherSide = (
  engine: Engine,
  tunnel: Parameters<Half>[0],
  image: ImageName,
  request: RemoteRequest,
  context: Context,
) => Promise<void>;

/** What the side at the far engine does, by the role of the one that is here. */
const otherSide: Record<Role, OtherSide> = {
  async sender(engine, tunnel, image, request, context) {
    await refusePodman(engine, request.compress);
    const target = await engineTarget(engine);
    const name = referenceOrPlaceholder(image);
    target.nameFor(name);
    await receive(tunnel, target, name, request, context);
  },
  async receiver(engine, tunnel, image, request, context) {
    await send(tunnel, engineSource(engine, { kind: "embedded" }, image), request, context);
  },
};

/**
 * What the image is called at the far end, by the role of the side that is here: where it is here, if that was said, is of no interest there.
 * Throws a `usage` Failure for what can be no name, if it is to arrive there.
 */
export function nameThere(role: Role, { image, as }: Pick<RemoteRequest, "image" | "as">): string {
  const given = role === "sender" && as !== undefined ? as : image;
  const location = readLocation(given);
  const name = location === undefined ? given : location.reference;
  if (name === undefined) {
    throw new Failure(
      "usage",
      `${given} does not say what the image is called, and the remote side must call it something`,
      {
        expected: "a name behind the path, or --as NAME",
        hint: `For instance ${given}:app:v2.`,
      },
    );
  }
  const { reference } = readImageName(name);
  if (role === "sender" && reference === undefined) throw nameless(name);
  return name;
}
