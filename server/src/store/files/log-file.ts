import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import type { Job } from "../../jobs/job.ts";
import type { LogLine } from "../job-store.ts";
import { cutLine, spaceInLog, splitLines } from "../transitions.ts";

/** ms between two writes of a log */
const WRITE_EVERY = 100;
/** Bytes read at a time */
const CHUNK = 64 * 1024;
const NEWLINE = 0x0a;

export type LogState = Job["log"];

export interface LogEvents {
  /** Called when lines can be read, with the new state. At most every 100 ms */
  onWritten: (state: LogState) => void;
  /** Called when lines cannot be written, for instance on a full disk. Called once, until a write succeeds again */
  onLost: (error: unknown) => void;
}

/** Appends lines to the log of a running job. The file never contains a part of a line. */
export class LogWriter {
  readonly #path: string;
  readonly #maxLog: number;
  readonly #events: LogEvents;
  #file: FileHandle | undefined;
  /** State of the file's content */
  #state: LogState;
  /** Lines to be written, and the number of bytes in them and in the file */
  #pending: string[] = [];
  #bytes: number;
  #isCut: boolean;
  /** Number of lines that could not be written */
  #lost = 0;
  #timer: NodeJS.Timeout | undefined;
  #lastWrite = 0;
  #writing: Promise<void> = Promise.resolve();

  /**
   * @param state of the file's content
   * @param maxLog bytes
   */
  constructor(path: string, state: LogState, maxLog: number, events: LogEvents) {
    this.#path = path;
    this.#maxLog = maxLog;
    this.#events = events;
    this.#state = state;
    this.#bytes = state.bytes;
    this.#isCut = state.isCut;
  }

  add(texts: readonly string[]): void {
    for (const line of texts.flatMap((text) => splitLines(text))) this.#addLine(line);
    if (this.#pending.length === 0) return;
    this.#timer ??= setTimeout(
      () => void this.#flush(),
      Math.max(0, this.#lastWrite + WRITE_EVERY - performance.now()),
    );
  }

  /** Stops writing: the file has a new owner. */
  drop(): void {
    this.#isCut = true;
    this.#pending = [];
    this.#lost = 0;
  }

  /** Writes the remaining lines, and flushes them to the disk. On a full disk, lines are lost without an error. */
  async close(): Promise<void> {
    await this.#flush();
    if (this.#lost > 0) await this.#write([]); // there may be free space again
    await this.#file?.sync().catch(() => {}); // as above
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  #addLine(line: string): void {
    if (this.#isCut) return;
    const bytes = Buffer.byteLength(line) + 1;
    this.#isCut = this.#bytes + bytes > spaceInLog(this.#maxLog);
    this.#pending.push(this.#isCut ? cutLine(this.#maxLog) : line);
    this.#bytes += bytes;
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastWrite = performance.now();
    const lines = this.#pending;
    this.#pending = [];
    if (lines.length > 0) this.#writing = this.#writing.then(async () => await this.#write(lines));
    await this.#writing;
  }

  async #write(lines: readonly string[]): Promise<void> {
    const { bytes: start, lines: before } = this.#state;
    const all = this.#lost > 0 ? [lostLine(this.#lost), ...lines] : lines;
    const content = Buffer.from(`${all.join("\n")}\n`);
    try {
      // Does not append, because a part of a line may follow the known end.
      this.#file ??= await open(this.#path, constants.O_RDWR | constants.O_CREAT, 0o600);
      for (let done = 0; done < content.length;) {
        done += (await this.#file.write(content, done, content.length - done, start + done)).bytesWritten;
      }
    } catch (error) {
      if (this.#lost === 0) this.#events.onLost(error);
      this.#lost += lines.length;
      await this.#file?.truncate(start).catch(() => {});
      await this.#file?.close().catch(() => {});
      this.#file = undefined;
      return;
    }
    const isCut = this.#isCut || this.#state.isCut || this.#lost > 0;
    this.#lost = 0;
    this.#state = { lines: before + all.length, bytes: start + content.length, isCut };
    this.#events.onWritten(this.#state);
  }
}

function lostLine(count: number): string {
  return `[${count} lines were lost because the disk of the server was full]`;
}
/**
 * Reads lines of a log, beginning after a line. The ID of a line is the number of bytes up to its end.
 *
 * @param end bytes of the log; the data after them may be an incomplete line
 */
export async function readLines(
  path: string,
  { after, limit, end }: { after: string | undefined; limit: number; end: number },
): Promise<LogLine[]> {
  if (end === 0) return [];
  await using file = await open(path, "r");
  const start = await startOf(file, after, end);
  const content = await readToNewline(file, start, Math.max(1, limit), end);
  const lines: LogLine[] = [];
  for (let at = 0; at < content.length;) {
    const next = content.indexOf(NEWLINE, at) + 1;
    lines.push({ id: String(start + next), text: content.toString("utf8", at, next - 1) });
    at = next;
  }
  return lines;
}

/** Returns the offset after a line; 0 if the text is not a line's ID. */
async function startOf(file: FileHandle, after: string | undefined, end: number): Promise<number> {
  const at = /^[1-9]\d{0,15}$/.test(after ?? "") ? Number(after) : 0;
  if (at === 0 || at > end) return 0;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at - 1);
  return buffer[0] === NEWLINE ? at : 0;
}

/** Reads complete lines: about `limit` bytes, and at least one line. */
async function readToNewline(file: FileHandle, start: number, limit: number, end: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let at = start, read = 0; at < end;) {
    const size = Math.min(read < limit ? limit - read : CHUNK, end - at);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size, at);
    if (bytesRead === 0) break; // the file is being removed
    chunks.push(buffer.subarray(0, bytesRead));
    [at, read] = [at + bytesRead, read + bytesRead];
    const newline = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (read >= limit && newline >= 0) break;
  }
  const content = Buffer.concat(chunks);
  return content.subarray(0, content.lastIndexOf(NEWLINE) + 1);
}

/** Determines the state of the log of a job whose run was killed, and removes an incomplete line at its end. */
export async function recoverLog(path: string, maxLog: number): Promise<LogState> {
  let file: FileHandle;
  try {
    file = await open(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return { lines: 0, bytes: 0, isCut: false };
  }
  await using _ = file;
  let [lines, bytes, at] = [0, 0, 0];
  let last = "";
  for await (const chunk of file.createReadStream({
    start: 0,
    autoClose: false,
    highWaterMark: CHUNK,
  }) as AsyncIterable<Buffer>) {
    for (let from = chunk.indexOf(NEWLINE); from >= 0; from = chunk.indexOf(NEWLINE, from + 1)) {
      lines++;
      bytes = at + from + 1;
    }
    at += chunk.length;
    last = (last + chunk.toString("latin1")).slice(-1000);
  }
  await file.truncate(bytes);
  return { lines, bytes, isCut: last.endsWith(`${cutLine(maxLog)}\n`) };
}
