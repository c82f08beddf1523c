import type { Output, Progress } from "../output/output.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { count, text } from "./fields.ts";

/** ms between two progress messages of one stage. */
const SEND_EVERY = 100;

/** ms between two words that something moves here which the other side sees nothing of: an engine loads, or saves. */
const PULSE = 5_000;

/**
 * Where this side reports its progress. The spawner's user sees it, whichever side makes it: the spawner shows its own
 * and what it hears, the spawned side sends. Either says so when this side gets on by what it alone can see.
 *
 * @param moved bytes that have moved on this side; undefined where nobody counts
 */
export function shareProgress(
  tunnel: Tunnel,
  spawner: boolean,
  output: Output,
  moved: () => number | undefined = () => undefined,
): (progress: Progress) => void {
  let last: { progress: Progress; at: number } = { progress: { stage: "working", current: 0 }, at: -Infinity };
  const say = (progress: Progress): void => void tunnel.send({ type: "progress", ...progress }).catch(() => {});
  let seen = moved();
  const timer = setInterval(() => {
    const now = moved();
    if (now !== seen) say(last.progress);
    seen = now;
  }, PULSE);
  timer.unref();
  void tunnel.closed.then(() => clearInterval(timer));
  if (spawner) {
    tunnel.on("progress", (message) => output.progress(parseProgress(message)));
    return (progress) => {
      last = { ...last, progress };
      output.progress(progress);
    };
  }
  tunnel.on("progress", parseProgress); // that there is one is all that it says
  return (progress) => {
    const at = performance.now();
    if (progress.stage === last.progress.stage && at - last.at < SEND_EVERY) return;
    last = { progress: { ...progress }, at };
    say(progress);
  };
}

function parseProgress(message: Message): Progress {
  const { done, total } = (message.layers ?? {}) as Record<string, unknown>;
  return {
    stage: stageOf(text(message.stage)),
    current: count(message.current),
    ...(message.total === undefined ? {} : { total: count(message.total) }),
    ...(message.layers === undefined ? {} : { layers: { done: count(done), total: count(total) } }),
  };
}

/** Some words, and then an image's name perhaps, as all stages are: a progress line has nothing before it that says whose it is. */
const STAGE = /^[a-z]+ing(?: [a-z0-9:./-]+){0,3}$/;

function stageOf(told: string): string {
  return told.length <= 40 && STAGE.test(told) ? told : "working";
}
