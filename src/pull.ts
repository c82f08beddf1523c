import { nextMessage, LOOK_UP_TIMEOUT } from "./conversation/next-message.ts";
import { hearLayerAnnouncements } from "./conversation/layer-announcements.ts";
import { ASKS_AGAIN, parseAbout, parseOffer, wantMessage, type About, type Result } from "./conversation/messages.ts";
import { shareProgress } from "./conversation/share-progress.ts";
import type { OfferedLayers, Wanted } from "./receive/received-image.ts";
import type { Target } from "./receive/target.ts";
import { newRunId, type RunId } from "./run/run-id.ts";
import { digestOf, type Digest } from "./image/digest.ts";
import { isKnownPlatform, matchesPlatform } from "./image/platform.ts";
import { bytes } from "./output/describe.ts";
import { Failure } from "./output/errors.ts";
import { refuseUnsupported } from "./packing/agree-on-packing.ts";
import { CODECS } from "./packing/codecs.ts";
import { isInitiator, type PullRequest, type TransferOptions } from "./request.ts";
import { openTarget } from "./locations/locations.ts";
import { ResumeCache } from "./store/resume-cache.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";
import { abortable } from "./streams/abortable.ts";
import { explained, setOut, whyWhole, summarize, connectByCommand, type Context, type Connect } from "./transfer.ts";

/**
 * The receiving side: brings what the engine lacks through the tunnel into the engine, proves that what came is what was
 * sent, and only then gives it the name that was asked for. Rejects with a Failure, or with the signal's reason; nothing
 * that it put up is left either way.
 *
 * @param way to the sender
 */
export async function pull(
  request: PullRequest,
  context: Context,
  connect: Connect = connectByCommand(request, context),
): Promise<void> {
  const started = performance.now();
  const spawner = isInitiator(request.connection);
  if (spawner) refuseUnsupported(request.compress, "receiving"); // what the spawned side lacks, the sending side sees
  await using location = openTarget(request, context);
  // What must be so before anything is sent: the engine answers, and can hold the name.
  const atHand = location.opened.then((target) => {
    target.nameFor(request.name);
    return target;
  });
  atHand.catch(() => {}); // the spawned side tells it through the tunnel
  await setOut(connect, spawner ? atHand : Promise.resolve(), context.signal, async (tunnel, stop, wire) => {
    const target = await abortable(atHand, stop);
    const result = await receive(tunnel, target, request, { ...context, signal: stop });
    if (!spawner) return;
    const ms = performance.now() - started;
    const as = request.isRenamed ? request.name : undefined;
    context.output.summary(summarize("pulled", request.image.given, as, result, wire.bytesReceived, ms));
  });
}

/** The receiving side of the conversation. Resolves when the image is in its place under its name, and the sender knows. */
export async function receive(
  tunnel: Tunnel,
  target: Target,
  request: TransferOptions & Pick<PullRequest, "image" | "name" | "isRenamed" | "maxSize">,
  { output, signal, env }: Context,
): Promise<Result> {
  const run = newRunId();
  const onProgress = shareProgress(tunnel, isInitiator(request.connection), output, () => target.moved);
  const { platform, preserveDigest: preserve } = request;
  const keepsManifests = target.manifestOf !== undefined;
  const { image, name: nameHere, isRenamed } = request;
  const isInProcess = request.connection.kind === "in-process";
  const asked = { image: image.given, isRenamed, run, platform, runs: target.platform };
  await tunnel.send({ type: "ask", ...asked, keepsManifests, preserve });
  const tidied = target.tidy();
  tidied.catch(() => {}); // awaited below
  const about = parseAbout(
    await nextMessage(tunnel, "about", {
      timeout: request.timeout ?? LOOK_UP_TIMEOUT,
      what: "what the image is",
      stop: signal,
    }),
  );
  // Before anybody looks what is here: what is about to go is not to be counted on.
  for (const leftover of await tidied) output.detail(`removed ${leftover}, left by a run that was killed`);
  checkPlatform(about.platform, platform, target, (text) => output.warn(text));
  if ((preserve || about.preserve) && about.manifest === undefined) {
    const whose = keepsManifests ? "where the image comes from" : target.address;
    output.note(`no manifest digest can be preserved: ${whose} keeps no manifests; config and layers will be the same`);
  }
  const codecs = isInProcess ? [] : CODECS.map(({ name }) => name);
  const packing = { codecs, ...(request.compress && { compress: request.compress }) };
  let unread: Promise<unknown> | undefined;
  const decline = async (): Promise<void> => {
    unread = tunnel.next("offer"); // of nothing
    unread.catch(() => {});
    await tunnel.send(wantMessage({ kind: "nothing", ...packing }));
  };
  const obtain = async (want: Wanted): Promise<OfferedLayers> => {
    await unread;
    const announced = hearLayerAnnouncements(tunnel, want.diffIds);
    await tunnel.send(wantMessage({ ...want, ...packing }));
    const offer = parseOffer(await abortable(tunnel.next("offer"), signal));
    return { offer, ...announced };
  };

  // Between two sides in one process layers cross no link.
  const onKept = (size: number): void =>
    output.note(`${bytes(size)} of layers that have arrived are kept: the next run continues there`);
  await using resumeCache = isInProcess ? undefined : new ResumeCache({ env, run, onKept });
  let result: Result;
  {
    // Its temporary name is gone before the sender hears that all is well.
    const { maxSize, bwlimit } = request;
    const why = whyWhole(request, about.manifest, tunnel);
    const delta = request.delta === "always" ? request.delta : about.delta;
    const mayAskAgain = tunnel.peer.features.includes(ASKS_AGAIN);
    const surroundings = {
      image: nameHere,
      run,
      env,
      mayAskAgain,
      resumeCache,
      output,
      signal,
      onProgress,
      maxSize,
      noDeltaReason: why,
      delta,
      bwlimit,
    };
    await using arrived = await target
      .receive({ tunnel, about, obtain, decline, ...surroundings })
      .catch(async (error: unknown) => {
        if (!mayBeContinued(error)) await resumeCache?.forget();
        throw error;
      });
    if (arrived.isVerified !== true) await prove(target, arrived.name, arrived.id, about.diffIds);
    await proveManifest(target, arrived.name, about, run);
    signal.throwIfAborted();
    const name = target.nameFor(nameHere);
    await target.tag(arrived.name, name);
    const { id } = await prove(target, name, arrived.id, about.diffIds);
    await resumeCache?.forget();
    const { layersSent, layersPresent, bytesPresent, bytesFound = 0 } = arrived;
    const counts = { layersSent, layersPresent, bytesPresent, bytesFound };
    result = { image: nameHere.given, id, ...counts, bytesReceived: tunnel.bytesReceived };
  }
  const confirmed = await tunnel.finish({ ...result });
  if (!confirmed) output.warn("the image is here under its name, but the sending side could not be told");
  return result;
}

/** Of an image that is not right, or has no room, nothing is kept. */
function mayBeContinued(error: unknown): boolean {
  const failure = explained(error);
  return !(failure instanceof Failure && ["not-verified", "refused", "no-space"].includes(failure.code));
}

/** What was asked for must come; what merely does not run here is worth a word, before anything is sent. */
function checkPlatform(offered: string, asked: string | undefined, target: Target, warn: (text: string) => void): void {
  if (asked !== undefined && !matchesPlatform(offered, asked)) {
    throw new Failure("refused", `the remote side sends the image for ${offered}, not for ${asked}`, {
      expected: `a variant for ${asked}`,
      hint: "Leave --platform out, or build the image for that platform on the sending side.",
    });
  }
  if (!isKnownPlatform(offered)) {
    warn(`the image's config does not name its platform (${offered}): whether it runs here cannot be told`);
  } else if (target.platform !== undefined && !matchesPlatform(offered, target.platform)) {
    warn(`the image is for ${offered}, and this engine runs ${target.platform}`);
  }
}

/** What is in its place under `name` must have the sender's config and layers, all of them, in order. */
async function prove(
  target: Target,
  name: string,
  id: Digest | undefined,
  diffIds: readonly Digest[],
): Promise<{ id: string }> {
  const found = await target.inspect(name);
  const isSame = found?.diffIds.join() === diffIds.join();
  if (found !== undefined && isSame && (id === undefined || found.id === id)) return found;
  const difference =
    found === undefined ? "it is not in the store" : isSame ? `its ID is ${found.id}` : "its layers differ";
  throw new Failure("not-verified", `what is in the store as ${name} is not the image that was sent: ${difference}`, {
    expected: `${id === undefined ? "an image" : id}, with the ${diffIds.length} layers that the sender named`,
    hint: "Run the same command again; if it happens again, please report it.",
  });
}

/** What is in its place must have the sender's manifest, where that is to be the same. */
async function proveManifest(target: Target, name: string, { manifest, platform }: About, run: RunId): Promise<void> {
  if (manifest === undefined) return;
  const [digest, found] = [digestOf(manifest.bytes), await target.manifestOf?.(name, { platform, run })];
  if (found === digest) return;
  throw new Failure(
    "not-verified",
    `the image's manifest in the store is ${found ?? "not to be had"}, and not the sender's`,
    {
      expected: `${digest}, because of --preserve-digest`,
      hint: "Leave --preserve-digest out: the image has the same config and layers then, and a manifest of its own.",
    },
  );
}
