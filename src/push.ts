import {
  parseAsk,
  parseResult,
  parseWant,
  REGISTRY_SERVICE,
  shareProgress,
  type Ask,
  type Result,
} from "./conversation.ts";
import type { FoundImage } from "./departure/departure.ts";
import { engineSource } from "./departure/engine-source.ts";
import type { Source } from "./departure/source.ts";
import { connectEngine } from "./engine/connect.ts";
import { isPlatform } from "./engine/platform.ts";
import { newRunId } from "./engine/run-id.ts";
import { fullName, type Reference } from "./image/reference.ts";
import { Failure } from "./output/errors.ts";
import { chooseRegistry } from "./registry/choose.ts";
import { overTunnel } from "./stdio-tunnel/open.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";
import {
  opening,
  readReference,
  summarize,
  tunnelFor,
  unlessAborted,
  type Opening,
  type Surroundings,
  type TransferRequest,
} from "./transfer.ts";

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
export async function push(request: PushRequest, around: Surroundings): Promise<void> {
  const started = performance.now();
  const image = readReference(request.image);
  const spawner = request.command.length > 0;
  await using place = openSource(request, around);
  const atHand = place.opened.then((source) => findImage(source, image, request.platform));
  if (spawner) await atHand; // an image that is not there is told before anything is started
  else atHand.catch(() => {}); // the spawned side tells it through the tunnel

  await overTunnel(tunnelFor("sender", request, around), async (tunnel, stop) => {
    await unlessAborted(atHand, stop);
    const source = await place.opened;
    const result = await send(tunnel, source, image, request, { ...around, signal: stop });
    if (!spawner) return;
    around.output.summary(summarize("pushed", request.image, result, tunnel.bytesSent, performance.now() - started));
  });
}

function openSource(request: PushRequest, { env, signal }: Surroundings): Opening<Source> {
  const choice = chooseRegistry(request.registry, env);
  return opening(async (stop) => engineSource(await connectEngine(request.host, env, stop), choice), signal);
}

/** The sending side of the conversation. Resolves when the image is in the receiver's store under its name. */
async function send(
  tunnel: Tunnel,
  source: Source,
  image: Reference,
  request: PushRequest,
  { output, signal, env }: Surroundings,
): Promise<Result> {
  const run = newRunId();
  const onProgress = shareProgress(tunnel, request.command.length > 0, output);
  const ask = parseAsk(await heard(tunnel.next("ask"), request.timeout, signal));
  const platform = agree(ask, image, request.platform);
  const found = await findImage(source, image, platform);
  const { diffIds, configDigest } = found;
  await tunnel.send({ type: "about", diffIds, platform: found.platform, ...(configDigest && { configDigest }) });
  const want = parseWant(await unlessAborted(tunnel.next("want"), signal));
  if (!want.diffIds.every((diffId) => diffIds.includes(diffId))) {
    throw new Failure("refused", "the far end asks for layers that are not of this image", {
      expected: `some of the ${diffIds.length} layers of ${image.given}`,
      hint: "Install the same version on both sides.",
    });
  }

  const onlyPlatform = platform !== undefined;
  const runs = [run, ask.run] as const;
  await using departure = await found.depart({ onlyPlatform, want, runs, env, output, signal, onProgress });
  tunnel.listen(REGISTRY_SERVICE, (stream) => departure.accept(stream));
  output.detail(
    `offering ${want.diffIds.length} of ${diffIds.length} layers of ${fullName(image)} for ${found.platform}`,
  );
  await tunnel.send({ type: "offer", ...departure.offer });

  const untilGone = AbortSignal.any([signal, departure.signal]);
  return parseResult(await unlessAborted(tunnel.result(), untilGone));
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

/** The image in its place; fails with `image-not-found` when it is not there, or not for the platform asked for. */
async function findImage(source: Source, image: Reference, platform: string | undefined): Promise<FoundImage> {
  const found = await source.find(image, platform);
  if (found !== undefined) return found;
  const other = platform === undefined ? undefined : await source.find(image);
  if (other !== undefined) {
    throw new Failure("image-not-found", `${image.given} is here for ${other.platform}, not for ${platform}`, {
      expected: `a variant for ${platform} in ${source.address}`,
      hint: `Build or pull it with --platform ${platform}, or leave --platform out.`,
    });
  }
  throw new Failure("image-not-found", `there is no image ${image.given} in ${source.address}`, {
    expected: "an image that `docker images` lists",
    hint: "Build or tag it first; another engine is chosen with -H, DOCKER_HOST or a docker context.",
  });
}

/** Both sides must mean the same image and the same platform: which that is, if one was named. */
function agree(ask: Ask, image: Reference, platform: string | undefined): string | undefined {
  if (fullName(readReference(ask.image)) !== fullName(image)) {
    throw new Failure("refused", `the sending side offers ${image.given}, the receiving side asks for ${ask.image}`, {
      expected: "the same name on both sides",
      hint: `Name ${image.given} in both, or give the image its other name first: docker tag ${image.given} ${ask.image}`,
    });
  }
  if (ask.platform === undefined) return platform;
  // Whichever says more: linux/arm64 and linux/arm64/v8 are no contradiction.
  if (platform === undefined || isPlatform(ask.platform, platform)) return ask.platform;
  if (isPlatform(platform, ask.platform)) return platform;
  throw new Failure(
    "usage",
    `the sending side was told --platform ${platform}, the receiving side --platform ${ask.platform}`,
    {
      expected: "one platform, or none on one side",
      hint: "Give --platform on one side only.",
    },
  );
}
