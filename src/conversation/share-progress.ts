import type { Output, Progress } from "../output/output.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { count, text } from "./fields.ts";

/** ms between two progress messages of one stage. */
const SEND_EVERY = 100;

/**
 * Where this side reports its progress. The spawner's user sees it, whichever side makes it: the spawner shows its own
 * and what it hears, the spawned side sends.
 */
export function shareProgress(tunnel: Tunnel, spawner: boolean, output: Output): (progress: Progress) => void {
  if (spawner) {
    tunnel.on("progress", (message) => output.progress(parseProgress(message)));
    return (progress) => output.progress(progress);
  }
  let last = { stage: "", at: 0 };
  return (progress) => {
    const at = performance.now();
    if (progress.stage === last.stage && at - last.at < SEND_EVERY) return;
    last = { stage: progress.stage, at };
    void tunnel.send({ type: "progress", ...progress });
  };
}

function parseProgress(message: Message): Progress {
  const { done, total } = (message.layers ?? {}) as Record<string, unknown>;
  return {
    stage: text(message.stage).slice(0, 40),
    current: count(message.current),
    ...(message.total === undefined ? {} : { total: count(message.total) }),
    ...(message.layers === undefined ? {} : { layers: { done: count(done), total: count(total) } }),
  };
}
