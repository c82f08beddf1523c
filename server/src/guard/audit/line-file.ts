import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { Failure, messageOf } from "docker-over-ssh/builds";

/** Maximum number of lines that wait for a slow disk. A line has some hundred bytes. */
const MAX_WAITING = 20_000;
const MAX_BATCH = 512;
/** For the owner only: lines disclose what tenants build. */
const MODE = 0o600;

export interface LineFileOptions {
  /** Called for each line that could not be written */
  onLost: () => void;
  /** Called once when lines begin to be lost, and once when lines can be written again. */
  printLine: (line: string) => void;
}

/** Appends lines in order. Disposing waits until they are written. */
export interface LineFile extends AsyncDisposable {
  /** Never throws, and never waits. */
  write(line: string): void;
  /** Opens the path again after the file was renamed (logrotate). Earlier lines are in the old file. */
  reopen(): Promise<void>;
}

/**
 * Appends lines to a file.
 *
 * @throws Failure `usage` for a file that cannot be opened: a guard does not start without its audit
 */
export async function openLineFile(path: string, { onLost, printLine }: LineFileOptions): Promise<LineFile> {
  let file = await openForAppending(path);
  let waiting: string[] = [];
  let isLosing = false;
  let writing: Promise<void> | undefined;
  /** Whether the last line is incomplete, because the disk was full: the next one must begin with a line break. */
  let isTorn = false;

  function lose(count: number, why: string): void {
    for (let index = 0; index < count; index++) onLost();
    if (!isLosing) printLine(`audit lines are lost: ${path}: ${why}`);
    isLosing = true;
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MAX_BATCH);
      waiting = waiting.slice(MAX_BATCH);
      try {
        await appendAll(file, `${isTorn ? "\n" : ""}${batch.join("")}`);
        if (isLosing) printLine(`audit lines are written again: ${path}`);
        [isLosing, isTorn] = [false, false];
      } catch (error) {
        isTorn = true;
        lose(batch.length, messageOf(error));
      }
    }
    writing = undefined;
  }

  return {
    write(line) {
      if (waiting.length >= MAX_WAITING) return lose(1, "the disk is too slow");
      waiting.push(`${line}\n`);
      writing ??= writeAll();
    },
    async reopen() {
      const next = await openForAppending(path);
      await writing;
      const before = file;
      file = next;
      isTorn = false;
      await before.close();
    },
    async [Symbol.asyncDispose]() {
      await writing;
      await file.close();
    },
  };
}

async function openForAppending(path: string): Promise<FileHandle> {
  const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    // Does not follow links. O_NONBLOCK: a pipe without a reader is an error instead of a wait.
    return await open(path, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW | O_NONBLOCK, MODE);
  } catch (error) {
    throw new Failure("usage", `${path} (--audit) cannot be opened: ${messageOf(error)}`, {
      expected: "a file, not a link, that the user of the guard may append to",
      cause: error,
    });
  }
}

async function appendAll(file: FileHandle, text: string): Promise<void> {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    const { bytesWritten } = await file.write(rest);
    rest = rest.subarray(bytesWritten);
  }
}
