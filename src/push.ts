import {
  parseAsk,
  parseResult,
  parseWant,
  REGISTRY_SERVICE,
  shareProgress,
  type About,
  type Ask,
} from "./conversation.ts";
import { depart } from "./departure/depart.ts";
import type { Engine, ImageInfo } from "./engine/engine.ts";
import { removeLeftovers } from "./engine/leftovers.ts";
import { newRunId } from "./engine/run-id.ts";
import { isDigest } from "./image/digest.ts";
import { fullName, type Reference } from "./image/reference.ts";
import { Failure } from "./output/errors.ts";
import { chooseRegistry } from "./registry/choose.ts";
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

/** ms for the receiving side to be ready, once the tunnel is open. */
const ASK_TIMEOUT = 60_000;

export interface PushRequest extends TransferRequest {
  /** --registry */
  registry?: string | undefined;
}

/**
 * The sending side: makes an image available in a temporary registry, and answers for it through a tunnel until the
 * receiver says that the image is in its store under its name. Rejects with a Failure, or with the signal's reason;
 * nothing that it put up is left either way.
 */
export async function push(request: PushRequest, { output, signal, env }: Surroundings): Promise<void> {
  const started = performance.now();
  const image = readReference(request.image);
  const choice = chooseRegistry(request.registry, env);
  const spawner = request.command.length > 0;
  const run = newRunId();

  await using connection = connecting(request.host, env, signal);
  const atHand = connection.engine.then((engine) => findImage(engine, image, request.platform));
  if (spawner) await atHand; // an image that is not there is told before anything is started
  else atHand.catch(() => {}); // the spawned side tells it through the tunnel

  const tunnelOptions = {
    role: "sender" as const,
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
    const found = await unlessAborted(atHand, stop);
    const engine = await connection.engine;
    const ask = parseAsk(await heard(tunnel.next("ask"), request.timeout, stop));
    const { platform, info } = await agree(ask, engine, image, request.platform, found);
    const engineInfo = await engine.info();
    const idIsConfig = engineInfo.store !== "containerd";
    const about: About = {
      diffIds: info.diffIds,
      platform,
      ...(idIsConfig && isDigest(info.id) ? { configDigest: info.id } : {}),
    };
    await tunnel.send({ type: "about", ...about });
    const want = parseWant(await unlessAborted(tunnel.next("want"), stop));
    if (!want.diffIds.every((diffId) => info.diffIds.includes(diffId))) {
      throw new Failure("refused", "the far end asks for layers that are not of this image", {
        expected: `some of the ${info.diffIds.length} layers of ${image.given}`,
        hint: "Install the same version on both sides.",
      });
    }

    for (const leftover of await removeLeftovers(engine)) {
      output.detail(`removed ${leftover}, left by a run that was killed`);
    }
    const options = {
      engine,
      engineInfo,
      image,
      info,
      platform,
      onlyPlatform: (request.platform ?? ask.platform) !== undefined,
      want,
      runs: [run, ask.run] as const,
      env,
      output,
      signal: stop,
      onProgress,
    };
    await using departure = await depart(choice, options);
    tunnel.listen(REGISTRY_SERVICE, (stream) => departure.accept(stream));
    output.detail(
      `offering ${want.diffIds.length} of ${info.diffIds.length} layers of ${fullName(image)} for ${platform}`,
    );
    await tunnel.send({ type: "offer", ...departure.offer });

    const untilGone = AbortSignal.any([stop, departure.signal]);
    const result = parseResult(await unlessAborted(tunnel.result(), untilGone));
    if (spawner)
      output.summary(summarize("pushed", request.image, result, tunnel.bytesSent, performance.now() - started));
  });
}

/** What the far end says first. Its keep-alive shows that it lives; this, that it gets somewhere. */
async function heard<T>(message: Promise<T>, timeout: number | undefined, stop: AbortSignal): Promise<T> {
  const late = AbortSignal.timeout(timeout ?? ASK_TIMEOUT);
  try {
    return await unlessAborted(message, AbortSignal.any([stop, late]));
  } catch (error) {
    if (stop.aborted || !late.aborted) throw error;
    throw new Failure(
      "far-no-answer",
      `the tunnel is open, but the far end has not said for ${(timeout ?? ASK_TIMEOUT) / 1000} s what it wants`,
      {
        expected: "the receiving engine to answer",
        hint: "See whether the engine there hangs (docker info); a slow one can be given more time with --timeout SECONDS.",
      },
    );
  }
}

/** The image in the engine's store; fails with `image-not-found` when it is not there, or not for the platform asked for. */
async function findImage(engine: Engine, image: Reference, platform: string | undefined): Promise<ImageInfo> {
  const info = await engine.inspectImage(image.given, platform);
  if (info !== undefined) return info;
  const other = platform === undefined ? undefined : await engine.inspectImage(image.given);
  if (other !== undefined) {
    throw new Failure("image-not-found", `${image.given} is here for ${other.platform}, not for ${platform}`, {
      expected: `a variant for ${platform} in ${engine.address}`,
      hint: `Build or pull it with --platform ${platform}, or leave --platform out.`,
    });
  }
  throw new Failure("image-not-found", `there is no image ${image.given} in ${engine.address}`, {
    expected: "an image that `docker images` lists",
    hint: "Build or tag it first; another engine is chosen with -H, DOCKER_HOST or a docker context.",
  });
}

/** Both sides must mean the same image and the same platform. */
async function agree(
  ask: Ask,
  engine: Engine,
  image: Reference,
  platform: string | undefined,
  info: ImageInfo,
): Promise<{ platform: string; info: ImageInfo }> {
  if (fullName(readReference(ask.image)) !== fullName(image)) {
    throw new Failure("refused", `the sending side offers ${image.given}, the receiving side asks for ${ask.image}`, {
      expected: "the same name on both sides",
      hint: `Name ${image.given} in both, or give the image its other name first: docker tag ${image.given} ${ask.image}`,
    });
  }
  if (ask.platform === undefined || ask.platform === platform) return { platform: info.platform, info };
  if (platform === undefined) {
    const asked = await findImage(engine, image, ask.platform);
    return { platform: asked.platform, info: asked };
  }
  throw new Failure(
    "usage",
    `the sending side was told --platform ${platform}, the receiving side --platform ${ask.platform}`,
    {
      expected: "one platform, or none on one side",
      hint: "Give --platform on one side only.",
    },
  );
}
