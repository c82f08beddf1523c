import { receiveImages } from "../../several-images/receive-images.ts";
import { sendImages } from "../../several-images/send-images.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import { formatCompressOption, type CompressOption } from "../../packing/compress-option.ts";
import { receive, type ReceiveRequest } from "../../pull.ts";
import { send } from "../../push.ts";
import { engineTarget } from "../../receive/into-engine/engine-target.ts";
import { isBuild, type PushRequest, type SharedRequest, type TransferRequest } from "../../request.ts";
import { engineSource } from "../../send/from-engine/engine-source.ts";
import type { Tunnel } from "../../stdio-tunnel/session.ts";
import type { Context } from "../../transfer.ts";
import { requestedName, remoteNameOf } from "./remote-names.ts";

/** The side at the remote engine. The other side, which has the request's own connection, shows the progress to people. */
type EngineSide = (engine: Engine, tunnel: Tunnel, context: Context) => Promise<void>;

/** Returns the side at the remote engine for one image. */
export function engineSide(request: TransferRequest): EngineSide {
  const options = optionsOf(request);
  if (isBuild(request)) {
    const { opened } = request.build;
    return async (engine, tunnel, context) => {
      const { buildWithEngine } = await import("../../build-with-engine.ts");
      await buildWithEngine(tunnel, engine, options, context, await opened);
    };
  }
  if (request.role === "receiver") {
    return async (engine, tunnel, context) => {
      await send(tunnel, engineSource(engine, { kind: "embedded" }, requestedName(request)), options, context);
    };
  }
  const name = remoteNameOf(request);
  return async (engine, tunnel, context) => {
    await refusePodman(engine, options.compress);
    await receive(tunnel, await engineTarget(engine), receiveRequest(request, name), context);
  };
}

/** Returns the side at the remote engine for images that the other side names, each in a conversation. */
export function engineSideForImages(request: TransferRequest): EngineSide {
  const options = optionsOf(request);
  if (request.role === "receiver") {
    return async (engine, tunnel, context) => {
      await sendImages(tunnel, {
        names: [],
        timeout: options.timeout,
        signal: context.signal,
        async sendOne(conversation, ask, signal) {
          const source = engineSource(engine, { kind: "embedded" }, requestedName(ask));
          await send(conversation, source, options, { ...context, signal }, ask);
        },
      });
    };
  }
  return async (engine, tunnel, context) => {
    await refusePodman(engine, options.compress);
    const target = await engineTarget(engine);
    await receiveImages(tunnel, {
      timeout: options.timeout,
      imagesFor: (named) => named,
      acceptsMore: true,
      signal: context.signal,
      async receiveOne(conversation, { reference }, signal) {
        const name = reference ?? remoteNameOf(request); // the names of a push are references
        await receive(conversation, target, receiveRequest(request, name), { ...context, signal });
      },
    });
  };
}

function optionsOf(request: TransferRequest): SharedRequest {
  const { platform, platforms, timeout, compress, bwlimit, delta, preserveDigest, dryRun } = request;
  const connection = { kind: "in-process", with: "engine" } as const;
  return { connection, platform, platforms, timeout, compress, bwlimit, delta, preserveDigest, dryRun };
}

function receiveRequest(request: PushRequest, name: Reference): ReceiveRequest {
  const image = { given: name.given, reference: name };
  return { ...optionsOf(request), image, name, isRenamed: false, acceptsNames: true, acceptsKeep: true };
}

/** Throws a Failure if the engine is Podman, which accepts no compressed archive. */
async function refusePodman(engine: Engine, choice: CompressOption | undefined): Promise<void> {
  if (choice?.how !== "gzip" || (await engine.info()).store !== "podman") return;
  throw new Failure(
    "usage",
    `--compress ${formatCompressOption(choice)}: the remote engine is Podman, which accepts only uncompressed archives`,
    {
      expected: "auto or none",
      hint: "Omit --compress, or install docker-over-ssh there; `ssh -C` compresses all traffic.",
    },
  );
}
