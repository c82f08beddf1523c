import { manifestText } from "./conversation/fields.ts";
import {
  parseAsk,
  parseResult,
  parseWant,
  REGISTRY_SERVICE,
  layerMessage,
  type AnnouncedLayer,
  type Ask,
  type Result,
  type Want,
} from "./conversation/messages.ts";
import { nextMessage, LOOK_UP_TIMEOUT } from "./conversation/next-message.ts";
import { shareProgress } from "./conversation/share-progress.ts";
import { manifestToPreserve } from "./send/manifest-to-preserve.ts";
import { NOTHING_OFFERED } from "./send/found-image.ts";
import type { Source } from "./send/source.ts";
import { matchesPlatform } from "./image/platform.ts";
import { newRunId } from "./run/run-id.ts";
import type { ImageName } from "./image/image-name.ts";
import { fullName, type Reference } from "./image/reference.ts";
import { Failure } from "./output/errors.ts";
import { agreeOnPacking, refuseUnsupported } from "./packing/agree-on-packing.ts";
import { isInitiator, type PushRequest, type TransferOptions } from "./request.ts";
import { openSource } from "./locations/locations.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";
import { abortable } from "./streams/abortable.ts";
import { setOut, whyWhole, summarize, connectByCommand, type Context, type Connect } from "./transfer.ts";

/** ms for the receiving side to be ready, once the tunnel is open. */
const ASK_TIMEOUT = 60_000;

/** A connection on which the receiver must be told a name, which the archive alone knows. */
export interface ConnectByName {
  /** @param name of the image in the archive, `name:tag`, if it has one */
  byName(name: string | undefined): Promise<Connect>;
}

/**
 * The sending side: makes an image available in a temporary registry, and answers for it through a tunnel until the
 * receiver says that the image is in its store under its name. Rejects with a Failure, or with the signal's reason;
 * nothing that it put up is left either way.
 *
 * @param way to the receiver
 */
export async function push(
  request: PushRequest,
  context: Context,
  connect: Connect | ConnectByName = connectByCommand(request, context),
): Promise<void> {
  const started = performance.now();
  const spawner = isInitiator(request.connection);
  if (spawner) refuseUnsupported(request.compress, "sending"); // the spawned side tells it through the tunnel
  await using location = openSource(request, context);
  const atHand = location.opened.then(async (source) => {
    await source.check(request.platform);
    return source;
  });
  atHand.catch(() => {}); // the spawned side tells it through the tunnel, as above
  if (spawner && (await location.takesTime?.())) await atHand;
  const chosen = "byName" in connect ? await connect.byName(await (await atHand).name?.(request.platform)) : connect;
  await setOut(chosen, spawner ? atHand : Promise.resolve(), context.signal, async (tunnel, stop, wire) => {
    const source = await abortable(atHand, stop);
    const result = await send(tunnel, source, request, { ...context, signal: stop });
    if (!spawner) return;
    context.output.summary(
      summarize("pushed", request.source.given, request.as, result, wire.bytesSent, performance.now() - started),
    );
  });
}

/** The sending side of the conversation. Resolves when the image is in the receiver's store under its name. */
export async function send(
  tunnel: Tunnel,
  source: Source,
  request: TransferOptions & Pick<PushRequest, "as">,
  { output, signal, env }: Context,
): Promise<Result> {
  const run = newRunId();
  const onProgress = shareProgress(tunnel, isInitiator(request.connection), output, () => source.moved);
  const { timeout = ASK_TIMEOUT } = request;
  const ask = parseAsk(await nextMessage(tunnel, "ask", { timeout, what: "what it wants", stop: signal }));
  const { image } = ask;
  const isGivenName = sameAsTold(request.as, image);
  const { runs: itsPlatform, isRenamed } = ask;
  const asked = { image, platform: agree(ask, request.platform), runs: itsPlatform, isGivenName, isRenamed };
  const found = await source.find(asked);
  const { diffIds, platform, configDigest } = found;
  const runs = [run, ask.run] as const;
  const preserve = ask.preserve || request.preserveDigest;
  const manifest = preserve && ask.keepsManifests ? await manifestToPreserve(found, runs) : undefined;
  const kept = manifest && manifestText(manifest);
  const delta = request.delta === "always" ? request.delta : undefined;
  await tunnel.send({ type: "about", diffIds, platform, configDigest, preserve, delta, manifest: kept });
  /** Until the receiver says that all is well, or what it wants now. */
  const serve = async (asked: Want): Promise<Result | Want> => {
    const why =
      whyWhole(request, manifest, tunnel) ??
      (asked.kind === "layers" && asked.delta ? undefined : "the receiving side asks for them so");
    const want = asked.kind === "layers" ? { ...asked, delta: why === undefined } : asked;
    const wanted = want.kind === "nothing" ? [] : want.diffIds;
    if (why !== undefined && wanted.length > 0) output.detail(`missing layers are sent whole: ${why}`);
    if (!wanted.every((diffId) => diffIds.includes(diffId))) {
      throw new Failure("refused", "the remote side asks for layers that are not of this image", {
        expected: `some of the ${diffIds.length} layers of ${image.given}`,
        hint: "Install the same version on both sides.",
      });
    }

    const { compress: theirs, codecs } = want;
    const packing = agreeOnPacking({
      own: request.compress,
      theirs,
      codecs: request.connection.kind === "in-process" ? [] : codecs,
    });
    const announce = (layer: AnnouncedLayer): void => void tunnel.send(layerMessage(layer));
    const surroundings = { runs, env, output, signal, onProgress, announce };
    await using offered =
      want.kind === "nothing"
        ? NOTHING_OFFERED
        : await found.offer({ want, configDigest, packing, manifest, ...surroundings });
    tunnel.listen(REGISTRY_SERVICE, (stream) => offered.accept(stream));
    const name = image.reference === undefined ? image.given : fullName(image.reference);
    output.detail(`offering ${wanted.length} of ${diffIds.length} layers of ${name} for ${platform}`);
    await tunnel.send({ type: "offer", ...offered.offer });

    const untilGone = AbortSignal.any([signal, offered.signal]);
    const result = abortable(tunnel.result(), untilGone).then(parseResult);
    // What it had when it said so may be gone when it would load it.
    const again = tunnel.next("want").then(parseWant, async () => await result); // when the tunnel ends, that says why
    return await Promise.race([result, again]);
  };
  const looking = { timeout: request.timeout ?? LOOK_UP_TIMEOUT, what: "what it lacks of the image", stop: signal };
  let answer: Want | Result = parseWant(await nextMessage(tunnel, "want", looking));
  while ("kind" in answer) answer = await serve(answer);
  return answer;
}

/** Whether this side was told a name to give the image (--as). Throws where the receiver asks for another one. */
function sameAsTold(as: Reference | undefined, { given, reference }: ImageName): boolean {
  if (as === undefined) return false;
  if (reference !== undefined && fullName(reference) === fullName(as)) return true;
  throw new Failure("refused", `the sending side was told --as ${as.given}, the receiving side asks for ${given}`, {
    expected: "the same name on both sides",
    hint: `Ask for ${as.given} there, or leave --as out: the image gets the name that is asked for.`,
  });
}

/** The platform that both sides mean, if one of them named any. */
function agree(ask: Ask, platform: string | undefined): string | undefined {
  if (ask.platform === undefined) return platform;
  // Whichever says more: linux/arm64 and linux/arm64/v8 are no contradiction.
  if (platform === undefined || matchesPlatform(ask.platform, platform)) return ask.platform;
  if (matchesPlatform(platform, ask.platform)) return platform;
  throw new Failure(
    "usage",
    `the sending side was told --platform ${platform}, the receiving side --platform ${ask.platform}`,
    {
      expected: "one platform, or none on one side",
      hint: "Give --platform on one side only.",
    },
  );
}
