import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages, EngineProgress } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import { forgetBrokenOffName, forgetName, giveTemporaryName } from "../engine/temporary-name.ts";
import { temporaryName, type RunId } from "../run/run-id.ts";
import { parseReference, type Reference } from "../image/reference.ts";
import type { Detail } from "../output/details.ts";
import { messageOf } from "../output/errors.ts";
import type { PushFailure } from "../output/reasons.ts";
import type { PushObserver, PushPolicy } from "../registry/embedded/push/push-policy.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import { IdleTimer } from "./idle-timer.ts";
import type { Platform } from "../image/platform.ts";

/** ms until an engine's first request. An engine on another machine mostly fails immediately, but some networks drop the packets. */
const REACH_TIMEOUT = 10_000;
/** ms; see {@link EnginePushOptions.idleTimeout}. */
const IDLE_TIMEOUT = 30_000;

export interface EnginePushOptions {
  /** Starts to listen on its port, unless it already does. */
  registry: EmbeddedRegistry;
  /** The run IDs of both sides, for the temporary name. */
  runIds: readonly RunId[];
  /** `os/arch[/variant]`; engines before API 1.46 ignore it. */
  platform?: Platform;
  signal: AbortSignal;
  /** ms without a request, a byte or a line of progress after which the push is given up. An active engine sends several a second. */
  idleTimeout?: number;
  /** For --verbose. */
  onDetail?: (detail: Detail) => void;
}

/** Answers an engine's push. */
export interface PushHandler {
  readonly policy: PushPolicy;
  /** Called with each line of the engine's progress. */
  onProgress?(line: EngineProgress): void;
  /** Aborted when the push is no longer useful. The reason is a {@link PushFailure}. */
  readonly giveUp: AbortSignal;
}

/**
 * Lets an engine push an image to the embedded registry, under a temporary name that is removed before this settles. Returns the reason why
 * the push failed, or undefined if it succeeded. The handler has the pushed content.
 *
 * Rejects with the error of `PushObserver.broken`, with the signal's reason, and with a `Failure` of the engine. Throws on a second push of
 * the same image at the same time, because it would have the same name.
 */
export async function enginePush(
  engine: EngineConnection & EngineImages,
  image: Reference,
  handler: PushHandler,
  options: EnginePushOptions,
): Promise<PushFailure | undefined> {
  if (!engine.reachesUs) return { code: "other-machine" };
  const { registry, runIds, signal, idleTimeout = IDLE_TIMEOUT } = options;
  const name = temporaryName(`127.0.0.1:${await registry.listen()}`, image.path, runIds);
  const broken = new AbortController();
  const failing = new AbortController();
  using idleTimer = new IdleTimer(
    { ms: REACH_TIMEOUT, onTimeout: () => failing.abort({ code: "not-reached" } satisfies PushFailure) },
    { ms: idleTimeout, onTimeout: () => failing.abort({ code: "stalled" } satisfies PushFailure) },
  );
  let isFinished = false;
  try {
    if (!(await giveTemporaryName(engine, image, name))) return { code: "no-name" };
    const end = AbortSignal.any([signal, broken.signal, failing.signal, handler.giveUp]);
    await pushTo(engine, name, handler, options, { idleTimer, broken, failing, end });
    isFinished = true;
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    broken.signal.throwIfAborted();
    if (handler.giveUp.aborted) return handler.giveUp.reason as PushFailure;
    if (failing.signal.aborted) return failing.signal.reason as PushFailure;
    if (error instanceof EngineError) return { code: "engine-error", error: messageOf(error) };
    throw error;
  } finally {
    // If a push was given up, its upload or its manifest was refused, so the engine records no digest of it.
    const isSettled = isFinished || handler.giveUp.aborted;
    await (isSettled ? forgetName(engine, name) : forgetBrokenOffName(engine, name));
  }
}

interface Watching {
  idleTimer: IdleTimer;
  /** Aborted with an error of this process. */
  broken: AbortController;
  /** Aborted when the push will not succeed. */
  failing: AbortController;
  /** Aborted to end the push. */
  end: AbortSignal;
}

/** Pushes the image by its temporary name, in a push session of the registry. */
async function pushTo(
  engine: EngineImages,
  name: string,
  handler: PushHandler,
  { registry, platform }: EnginePushOptions,
  { idleTimer, broken, failing, end }: Watching,
): Promise<void> {
  let isReached = false;
  const observer: PushObserver = {
    active() {
      isReached = true;
      idleTimer.reset();
    },
    broken: (error) => broken.abort(error),
  };
  await using _session = registry.openPushSession(parseReference(name).path, handler.policy, observer);
  await engine.pushImage(name, {
    credentials: registry.credentials,
    ...(platform === undefined ? {} : { platform }),
    signal: end,
    onProgress: (line) => {
      if (isReached) idleTimer.reset();
      // An engine tries five times, 5 to 25 s apart. If the first try fails, another method of export is faster.
      if (line.status.startsWith("Retrying")) failing.abort({ code: "retried" } satisfies PushFailure);
      handler.onProgress?.(line);
    },
  });
}
