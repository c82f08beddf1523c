import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages, EngineProgress } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import { forgetBrokenOffName, forgetName, giveTemporaryName } from "../engine/temporary-name.ts";
import { temporaryName, type RunId } from "../run/run-id.ts";
import { parseReference, type Reference } from "../image/reference.ts";
import { messageOf } from "../output/errors.ts";
import type { PushPolicy } from "../registry/embedded/push-policy.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import { Watchdog } from "./watchdog.ts";

/** ms until an engine has asked something: one that is elsewhere mostly fails at once, but some networks swallow packets. */
const REACH_TIMEOUT = 10_000;
/** See {@link EnginePushOptions.quietMs}. */
const QUIET_TIMEOUT = 30_000;

export interface EnginePushOptions {
  /** It listens from now on, if it did not before. */
  registry: EmbeddedRegistry;
  /** Of both sides, for the temporary name. */
  runIds: readonly RunId[];
  /** `os/arch[/variant]`; engines before API 1.46 push what they have. */
  platform?: string;
  signal: AbortSignal;
  /** ms without a question, a byte or a line of progress, after which it is given up; of these, one that works has several a second. */
  quietMs?: number;
  /** For --verbose. */
  onDetail?: (text: string) => void;
}

/** Who answers a push. */
export interface PushHandler {
  readonly policy: PushPolicy;
  /** Hears each of the engine's lines. */
  onProgress?(line: EngineProgress): void;
  /** Aborted, with the reason for --verbose as a string, when the push is of no use. */
  readonly giveUp: AbortSignal;
}

/**
 * Lets an engine push an image to the embedded registry, under a temporary name that is gone when this settles. Returns why the
 * push did not go well, or undefined when it did; the party knows what it has got.
 *
 * Rejects with what broke here (`PushObserver.broken`), with the signal's reason, and with a `Failure` of the engine's. One push
 * of an image at a time: a second one would have the same name, and throws.
 */
export async function enginePush(
  engine: EngineImages & EngineConnection,
  image: Reference,
  handler: PushHandler,
  { registry, runIds, platform, signal, quietMs = QUIET_TIMEOUT }: EnginePushOptions,
): Promise<string | undefined> {
  if (!engine.reachesUs) return "the engine is on another machine, which does not reach this process";
  const name = temporaryName(`127.0.0.1:${await registry.listen()}`, image.path, runIds);
  const stopped = new AbortController();
  const late = new AbortController();
  let reached = false;
  let finished = false;
  using watchdog = new Watchdog(
    { ms: REACH_TIMEOUT, onLate: () => late.abort("the engine does not reach this process") },
    { ms: quietMs, onLate: () => late.abort("the engine does not go on with it") },
  );
  const observer = {
    active: () => {
      reached = true;
      watchdog.nudge();
    },
    broken: (error: Error) => stopped.abort(error),
  };
  try {
    if (!(await giveTemporaryName(engine, image, name)))
      return "the image has no name, and would go with a temporary one";
    await using _landing = registry.open(parseReference(name).path, handler.policy, observer);
    await engine.pushImage(name, {
      credentials: registry.credentials,
      ...(platform === undefined ? {} : { platform }),
      signal: AbortSignal.any([signal, stopped.signal, late.signal, handler.giveUp]),
      onProgress: (line) => {
        if (reached) watchdog.nudge();
        // The engine tries five times, 5 to 25 s apart; what it could not do at once is done faster in another way.
        if (line.status.startsWith("Retrying")) late.abort("the engine wants to try again");
        handler.onProgress?.(line);
      },
    });
    finished = true;
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    stopped.signal.throwIfAborted();
    if (handler.giveUp.aborted) return String(handler.giveUp.reason);
    if (late.signal.aborted) return String(late.signal.reason);
    if (error instanceof EngineError) return `the engine says: ${messageOf(error)}`;
    throw error;
  } finally {
    // What is given up was about to send a layer, or has its manifest refused: no digest will be noted.
    const isSettled = finished || handler.giveUp.aborted;
    await (isSettled ? forgetName(engine, name) : forgetBrokenOffName(engine, name));
  }
}
