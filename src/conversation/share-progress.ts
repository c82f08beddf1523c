import { SHORT_DIGEST } from "../image/digest.ts";
import { STAGES, type ProgressOfLayer, type Stage } from "../output/events.ts";
import type { Output, Progress } from "../output/output.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { count, list, matching, text } from "./fields.ts";

/** ms between two progress messages of one stage. */
const SEND_EVERY = 100;

/** The maximum number of layers in a message: no more are in progress at a time. */
const MAX_LAYERS = 16;

/** ms between two messages about progress that the peer cannot see, such as that of an engine that loads or saves. */
const PULSE = 5_000;

/**
 * Returns the function by which this side reports its progress. The initiator shows its own progress and that of the peer; a spawned side
 * sends its progress. Both sides also send a message if only they can see that something moves.
 *
 * @param moved bytes that have moved on this side; undefined if they are not counted
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
  tunnel.on("progress", parseProgress); // the message only shows that the peer makes progress
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
    id: matching(id, SHORT_DIGEST),
    current: count(current),
    ...(total === undefined ? {} : { total: count(total) }),
    ...(isByDelta === true && { isByDelta }),
  };
}

/**
 * A peer of another version may have other stages. Its words are not shown, because a progress line does not show which side it is from.
 */
function stageOf(given: string): Stage {
  return STAGES.find((stage) => stage === given) ?? "working";
}
