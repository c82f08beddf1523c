import type { Arrival } from "./arrival/arrival.ts";
import { arriveByLoad } from "./arrival/by-load.ts";
import { arriveByPull } from "./arrival/by-pull.ts";
import {
  parseAbout,
  parseOffer,
  shareProgress,
  type About,
  type Ask,
  type Offer,
  type Result,
  type Want,
} from "./conversation.ts";
import type { Engine, EngineInfo, ImageInfo } from "./engine/engine.ts";
import { removeLeftovers } from "./engine/leftovers.ts";
import { isPlatform } from "./engine/platform.ts";
import { newRunId } from "./engine/run-id.ts";
import { taggableName, type Reference } from "./image/reference.ts";
import { Failure } from "./output/errors.ts";
import type { Output } from "./output/output.ts";
import { overTunnel } from "./stdio-tunnel/open.ts";
import {
  connecting,
  explained,
  readReference,
  summarize,
  unlessAborted,
  type Surroundings,
  type TransferRequest,
} from "./transfer.ts";
import { VERSION } from "./version.ts";

export interface PullRequest extends TransferRequest {
  /** --via: load what is missing through the engine's API, or let the engine pull by itself. */
  via?: "load" | "pull" | undefined;
}

/**
 * The receiving side: brings what the engine lacks through the tunnel into the engine, proves that what came is what was
 * sent, and only then gives it the name that was asked for. Rejects with a Failure, or with the signal's reason; nothing
 * that it put up is left either way.
 */
export async function pull(request: PullRequest, { output, signal, env }: Surroundings): Promise<void> {
  const started = performance.now();
  const image = readReference(request.image);
  const spawner = request.command.length > 0;
  const run = newRunId();

  await using connection = connecting(request.host, env, signal);
  const atHand = connection.engine.then((engine) => readyFor(engine, image));
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
    explain: explained,
  };
  await overTunnel(tunnelOptions, async (tunnel, stop) => {
    const onProgress = shareProgress(tunnel, spawner, output);
    const { info, name } = await unlessAborted(atHand, stop);
    const engine = await connection.engine;
    for (const leftover of await removeLeftovers(engine)) {
      output.detail(`removed ${leftover}, left by a run that was killed`);
    }

    const ask: Ask = { image: request.image, run, platform: request.platform };
    await tunnel.send({ type: "ask", ...ask });
    const about = parseAbout(await unlessAborted(tunnel.next("about"), stop));
    if (request.platform !== undefined && !isPlatform(about.platform, request.platform)) {
      throw new Failure("refused", `the far end sends the image for ${about.platform}, not for ${request.platform}`, {
        expected: `a variant for ${request.platform}`,
        hint: "Leave --platform out, or build the image for that platform on the sending side.",
      });
    }
    warnOfPlatform(about, info, output);
    const obtain = async (want: Want): Promise<Offer> => {
      await tunnel.send({ type: "want", ...want });
      return parseOffer(await unlessAborted(tunnel.next("offer"), stop));
    };

    const arrive = request.via === "pull" ? arriveByPull : arriveByLoad;
    const options = { tunnel, about, obtain, engine, info, image, run, env, output, signal: stop, onProgress };
    let result: Result;
    {
      await using arrival = await arrive(options);
      await prove(engine, arrival.name, about, info);
      stop.throwIfAborted();
      await engine.tagImage(arrival.name, name);
      const { id } = await prove(engine, name, about, info);
      result = resultOf(request.image, id, arrival, tunnel.bytesReceived);
    }

    const confirmed = await tunnel.finish({ ...result });
    if (!confirmed) output.warn("the image is here under its name, but the sending side could not be told");
    if (spawner)
      output.summary(summarize("pulled", request.image, result, result.bytesReceived, performance.now() - started));
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

function warnOfPlatform(about: About, info: EngineInfo, output: Output): void {
  const [os, architecture] = about.platform.split("/");
  if (info.platform === `${os}/${architecture}`) return;
  output.warn(`the image is for ${about.platform}, and this engine runs ${info.platform}`);
}

/** What is in the store under `reference` must have the sender's layers, all of them, in order. */
async function prove(engine: Engine, reference: string, { diffIds }: About, info: EngineInfo): Promise<ImageInfo> {
  const found = await engine.inspectImage(reference);
  if (found !== undefined && found.diffIds.join() === diffIds.join()) return found;
  const failed = `what is in the store as ${reference} is not the image that was sent`;
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

function resultOf(
  image: string,
  id: string,
  { layersSent, layersPresent, bytesPresent }: Arrival,
  bytesReceived: number,
): Result {
  return { image, id, layersSent, layersPresent, bytesPresent, bytesReceived };
}
