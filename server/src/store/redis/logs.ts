import type { JobState } from "../../jobs/job.ts";
import { isOver } from "../../jobs/job.ts";
import type { LogLine, LogPiece, ReadLogOptions } from "../job-store.ts";
import type { KeptLogs } from "./kept-logs.ts";
import type { KeySpace } from "./key-space.ts";

/** Number of lines that are read with one request */
const CHUNK = 500;

/** Reads a piece of a log: from its stream, or from the stored text when the stream no longer exists. */
export async function readLog(
  keySpace: KeySpace,
  kept: KeptLogs | undefined,
  id: string,
  { after, limit }: ReadLogOptions,
): Promise<LogPiece> {
  // Reads the state before the lines, because the last line is written before the job is over.
  const [state] = (await keySpace.fields([id], "state"))[0] ?? [];
  const isEnd = typeof state !== "string" || isOver({ state: state as JobState });
  const key = keySpace.key("log", id);
  if (isEnd && kept !== undefined && (await keySpace.database.use((redis) => redis.exists(key))) === 0) {
    return await readKept(kept, id, { after, limit });
  }
  let from = await startAfter(keySpace, key, after);
  const lines: LogLine[] = [];
  let bytes = 0;
  for (;;) {
    const found = await keySpace.database.use((redis) => redis.xrange(key, from, "+", "COUNT", CHUNK));
    for (const [lineId, [, text = ""]] of found) {
      if (bytes > 0 && bytes + text.length > limit) return { lines, isLast: false };
      lines.push({ id: lineId, text });
      bytes += text.length + 1;
    }
    const last = found.at(-1);
    if (last === undefined || found.length < CHUNK) return { lines, isLast: isEnd };
    from = `(${last[0]}`;
  }
}

/** Returns the start of the next read: after a line that the stream contains, or at the start of the stream. */
async function startAfter(keySpace: KeySpace, key: string, after: string | undefined): Promise<string> {
  if (after === undefined || !/^\d{1,15}-\d{1,15}$/.test(after)) return "-";
  const found = await keySpace.database.use((redis) => redis.xrange(key, after, after));
  return found.length === 1 ? `(${after}` : "-";
}

/** Reads the stored text of a log. The IDs of its lines are `kEND`, where END is the offset after the line. */
async function readKept(kept: KeptLogs, id: string, { after, limit }: ReadLogOptions): Promise<LogPiece> {
  let start = Number(/^k(\d{1,15})$/.exec(after ?? "")?.[1] ?? 0);
  for (let size = Math.max(limit, 1024); ; size *= 2) {
    const piece = await kept.read(id, start, size);
    if (piece === undefined) return { lines: [], isLast: true };
    const isLast = piece.length < size;
    const end = piece.lastIndexOf(0x0a) + 1;
    if (end === 0 && !isLast) continue; // the line is longer than the piece
    const lines: LogLine[] = [];
    for (const text of piece.subarray(0, end).toString("utf8").split("\n").slice(0, -1)) {
      start += Buffer.byteLength(text) + 1;
      lines.push({ id: `k${start}`, text });
    }
    return { lines, isLast };
  }
}

/** Yields the text of a log in pieces, with a newline after each line. */
export async function* logText(keySpace: KeySpace, id: string): AsyncGenerator<string> {
  let from = "-";
  for (;;) {
    const found = await keySpace.database.use((redis) =>
      redis.xrange(keySpace.key("log", id), from, "+", "COUNT", CHUNK),
    );
    if (found.length === 0) return;
    yield found.map(([, [, text = ""]]) => `${text}\n`).join("");
    from = `(${found.at(-1)?.[0] ?? ""}`;
  }
}
