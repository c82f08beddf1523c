import type { Http2Stream } from "node:http2";
import type { Timeouts } from "../streams/timeouts.ts";
import { TICKS_PER_SILENCE } from "./constants.ts";

/** Calls `onMoved` with the bytes received on a stream, and with its bytes that the session has sent. Keep-alive does not count. */
export function countData(stream: Http2Stream, onMoved: (bytes: number) => void): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: Uint8Array | null, encoding?: BufferEncoding) => {
    if (chunk !== null) onMoved(chunk.length);
    return push(chunk, encoding);
  };
  type Done = (error?: Error | null) => void;
  const counted = (bytes: number, done: Done): Done => {
    return (error) => {
      if (!error) onMoved(bytes);
      done(error);
    };
  };
  const write = stream._write.bind(stream);
  stream._write = (chunk: Uint8Array, encoding, done) => write(chunk, encoding, counted(chunk.length, done));
  const writev = stream._writev?.bind(stream);
  if (writev === undefined) return;
  stream._writev = (chunks: { chunk: Uint8Array; encoding: BufferEncoding }[], done) =>
    writev(
      chunks,
      counted(
        chunks.reduce((sum, { chunk }) => sum + chunk.length, 0),
        done,
      ),
    );
}

/**
 * Watches the progress of the tunnel (PROTOCOL.md, 5). Calls `onStuck` if no byte has moved for longer than the peer's longest wait, after
 * which the peer should have reported a failure. Counts ticks instead of time, like keep-alive. Returns a function that stops the watch.
 *
 * @param moved returns the bytes moved so far; undefined while nothing is expected to move
 */
export function watchProgress(
  moved: () => number | undefined,
  timeouts: Timeouts,
  onStuck: (ms: number) => void,
): () => void {
  let seen = moved();
  let idleTicks = 0;
  const tick = (timeouts.work + timeouts.answer) / TICKS_PER_SILENCE;
  const timer = setInterval(() => {
    const now = moved();
    idleTicks = now === seen && now !== undefined ? idleTicks + 1 : 0;
    seen = now;
    if (now === undefined) return;
    const limit = timeouts.workFor(now) + timeouts.answer;
    if (idleTicks * tick < limit) return;
    clearInterval(timer);
    onStuck(idleTicks * tick);
  }, tick);
  return () => clearInterval(timer);
}
