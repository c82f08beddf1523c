import { STAGES, type ProgressOfLayer, type Stage } from "../output/events.ts";
import type { Output, Progress } from "../output/output.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { count, list, matching, text } from "./fields.ts";

const LAYER_ID = /^[0-9a-f]{12}$/;

/** ms between two progress messages of one stage. */
const SEND_EVERY = 100;

/** Layers that a message names: more of them are not in work at a time. */
const MAX_LAYERS = 16;

/** ms between two messages about progress that the peer cannot see: an engine that loads or saves. */
const PULSE = 5_000;

/**
 * Returns the function by which this side reports its progress. People see it at the initiator: that shows its own progress and the peer's; a
 * spawned side sends its own. Both sides send a message when only they can see that something moves.
 *
 * @param moved bytes that have moved on this side; undefined where they are not counted
 */
export function shareProgress(
  tunnel: Conversation,
  isInitiator: boolean,
  output: Output,
  moved: () => number | undefined = () => undefined,
): (progress: Progress) => void {
  let last: { progress: Progress; at: number } = { progress: { stage: "working", current: 0 }, at: -Infinity };
  const send = ({ perLayer, ...progress }: Progress): void => {
    const some = perLayer?.slice(0, MAX_LAYERS);
    tunnel.send({ type: "progress", ...progress, ...(some && { perLayer: some }) }).catch(() => {});
  };
  let seen = moved();
  const timer = setInterval(() => {
    const now = moved();
    if (now !== seen) send(last.progress);
    seen = now;
  }, PULSE);
  timer.unref();
  void tunnel.closed.then(() => clearInterval(timer));
  if (isInitiator) {
    tunnel.on("progress", (message) => output.progress(parseProgress(message)));
    return (progress) => {
      last = { ...last, progress };
      output.progress(progress);
    };
  }
  tunnel.on("progress", parseProgress); // it shows only that the peer makes progress
  return (progress) => {
    const at = performance.now();
    if (progress.stage === last.progress.stage && at - last.at < SEND_EVERY) return;
    last = { progress: { ...progress }, at };
    send(progress);
  };
}

function parseProgress(message: Message): Progress {
  const { done, total } = (message.layers ?? {}) as Record<string, unknown>;
  return {
    stage: stageOf(text(message.stage)),
    current: count(message.current),
    ...(message.total === undefined ? {} : { total: count(message.total) }),
    ...(message.isEstimated === true && { isEstimated: true }),
    ...(message.saved === undefined ? {} : { saved: count(message.saved) }),
    ...(message.layers === undefined ? {} : { layers: { done: count(done), total: count(total) } }),
    ...(message.perLayer === undefined ? {} : { perLayer: list(message.perLayer).slice(0, MAX_LAYERS).map(layerOf) }),
  };
}

function layerOf(given: unknown): ProgressOfLayer {
  const { id, current, total, isByDelta } = (given ?? {}) as Record<string, unknown>;
  return {
    id: matching(id, LAYER_ID),
    current: count(current),
    ...(total === undefined ? {} : { total: count(total) }),
    ...(isByDelta === true && { isByDelta }),
  };
}

/** A peer of another version may have other stages. Its words are not shown: a progress line does not say whose it is. */
function stageOf(given: string): Stage {
  return STAGES.find((stage) => stage === given) ?? "working";
}
