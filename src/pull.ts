import { parseOffer, REGISTRY_SERVICE, shareProgress, type Ask, type Offer, type Result } from "./conversation.ts";
import { connectEngine } from "./engine/connect.ts";
import { EngineError, type Engine, type EngineInfo, type ImageInfo } from "./engine/engine.ts";
import { LayerProgress } from "./engine/layer-progress.ts";
import { removeLeftovers } from "./engine/leftovers.ts";
import { newRunId } from "./engine/run-id.ts";
import { taggableName, type Reference } from "./image/reference.ts";
import { Failure, messageOf } from "./output/errors.ts";
import type { Output, Progress } from "./output/output.ts";
import { openDoor } from "./stdio-tunnel/bridge.ts";
import { overTunnel } from "./stdio-tunnel/open.ts";
import { ownerOf, readReference, summarize, type Surroundings, type TransferRequest } from "./transfer.ts";
import { VERSION } from "./version.ts";

/**
 * The receiving side: lets the engine pull through a door of 127.0.0.1 that leads through the tunnel to the sender's
 * registry, proves that what came is what was sent, and only then gives it the name that was asked for.
 * Rejects with a Failure, or with the signal's reason; nothing that it put up is left either way.
 */
export async function pull(request: TransferRequest, { output, signal, env }: Surroundings): Promise<void> {
  const started = performance.now();
  const image = readReference(request.image);
  const spawner = request.command.length > 0;
  const run = newRunId();

  const connecting = connectEngine(request.host, env);
  await using _engine = ownerOf(connecting);
  const atHand = connecting.then((engine) => readyFor(engine, image));
  if (spawner) await atHand;
  else atHand.catch(() => {}); // the spawned side tells it through the tunnel

  const tunnelOptions = {
    role: "receiver" as const,
    tool: VERSION,
    image: request.image,
    command: request.command,
    timeout: request.timeout,
    signal,
    onFarLine: (line: string) => output.far(line),
    onDetail: (text: string) => output.detail(text),
  };
  await overTunnel(tunnelOptions, async (tunnel, stop) => {
    const onProgress = shareProgress(tunnel, spawner, output);
    const [engine, { info, name }] = [await connecting, await atHand];
    for (const leftover of await removeLeftovers(engine))
      output.detail(`removed ${leftover}, left by a run that was killed`);
    const ask: Ask = {
      image: request.image,
      run,
      ...(request.platform === undefined ? {} : { platform: request.platform }),
    };
    await tunnel.send({ type: "ask", ...ask });
    const offer = parseOffer(await tunnel.next("offer"));
    warnOfPlatform(offer, info, output);

    await using door = await openDoor(tunnel, REGISTRY_SERVICE);
    const temporary = `127.0.0.1:${door.port}/${offer.repository}:${offer.tag}`;
    let result: Result;
    try {
      const moved = await receive(engine, temporary, offer, info, stop, onProgress);
      const received = await prove(engine, temporary, offer, info);
      stop.throwIfAborted();
      await engine.tagImage(temporary, name);
      await prove(engine, name, offer, info);
      result = { image: request.image, id: received.id, ...count(offer, moved), bytesReceived: tunnel.bytesReceived };
    } finally {
      // An engine that is gone by now cannot remove it; the next run does.
      await engine.removeReference(temporary).catch(() => {});
    }

    const confirmed = await tunnel.finish({ ...result });
    if (!confirmed) output.warn("the image is here under its name, but the sending side could not be told");
    if (spawner) output.summary(summarize("pulled", result, result.bytesReceived, performance.now() - started));
  });
}

/** What must be so before anything is sent: the engine answers, and can hold the name. */
async function readyFor(engine: Engine, image: Reference): Promise<{ info: EngineInfo; name: string }> {
  const info = await engine.info();
  const name = taggableName(image);
  if (name !== undefined) return { info, name };
  throw new Failure(
    "usage",
    `${image.given} names an image by its digest alone, and an engine takes such a name only from the registry it pulls it from`,
    {
      expected: "a name with a tag, with or without a digest",
      hint: `Add a tag: ${image.given.replace("@", ":TAG@")}`,
    },
  );
}

function warnOfPlatform(offer: Offer, info: EngineInfo, output: Output): void {
  const [os, architecture] = offer.platform.split("/");
  if (info.platform === `${os}/${architecture}`) return;
  output.warn(`the image is for ${offer.platform}, and this engine runs ${info.platform}`);
}

/** Pulls into a temporary name. Returns the ids of the layers that had to move. */
async function receive(
  engine: Engine,
  temporary: string,
  { credentials, layers, platform }: Offer,
  info: EngineInfo,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<string[]> {
  const sizes = new Map(layers.map(({ digest, size }) => [shortId(digest), size]));
  const progress = new LayerProgress("sending", sizes);
  const foreign = !`${platform}/`.startsWith(`${info.platform}/`);
  try {
    await engine.pullImage(temporary, {
      credentials,
      ...(foreign ? { platform } : {}),
      signal,
      onProgress: (line) => {
        if (progress.add(line)) onProgress(progress.progress);
      },
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    throw new Failure("transfer-failed", `the receiving engine could not pull the image: ${messageOf(error)}`, {
      expected: `${engine.address} to reach 127.0.0.1 of the machine that docker-over-ssh runs on`,
      hint: "Run docker-over-ssh on the engine's own machine, and look at the engine's log.",
      cause: error,
    });
  }
  return progress.moved;
}

/** What is in the store under `reference` must have the sender's layers, all of them, in order. */
async function prove(engine: Engine, reference: string, { diffIds }: Offer, info: EngineInfo): Promise<ImageInfo> {
  const found = await engine.inspectImage(reference);
  if (found !== undefined && found.diffIds.join() === diffIds.join()) return found;
  const failed = "what arrived is not the image that was sent, and was not given its name";
  const expected = `${diffIds.length} layers with the digests that the sender named`;
  if (info.store === "containerd" && (found === undefined || found.diffIds.length === 0)) {
    // A containerd store does not fetch the blob of a layer that it has unpacked, whatever digest the blob had then.
    throw new Failure(
      "not-verified",
      `${failed}: the engine's pull left it incomplete, because it holds some of the layers under other digests`,
      {
        expected,
        hint: "Remove the images that were built or loaded there with the same layers, then run the same command again.",
      },
    );
  }
  throw new Failure(
    "not-verified",
    `${failed}: ${found === undefined ? "it is not in the store" : "its layers differ"}`,
    {
      expected,
      hint: "Run the same command again; if it happens again, please report it.",
    },
  );
}

function count(
  { layers }: Offer,
  moved: readonly string[],
): Pick<Result, "layersSent" | "layersPresent" | "bytesPresent"> {
  const there = layers.filter(({ digest }) => !moved.includes(shortId(digest)));
  const bytesPresent = there.reduce((all, { size }) => all + size, 0);
  return { layersSent: layers.length - there.length, layersPresent: there.length, bytesPresent };
}

/** As engines name layers in their progress. */
function shortId(digest: string): string {
  return digest.slice("sha256:".length, "sha256:".length + 12);
}
