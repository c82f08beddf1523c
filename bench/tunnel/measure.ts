/** Runs one measurement: bytes through a tunnel, or without one. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Usage {
  /** Seconds. */
  cpu: number;
  /** Bytes. */
  peak: number;
}

export interface TunnelRun {
  seconds: number;
  sender: Usage;
  receiver: Usage;
}

/** Sends `bytes` on each of `streams` streams, in addition to `stalled` streams that nobody reads. The seconds exclude the start-up. */
export async function tunnel(bytes: number, streams: number, stalled = 0): Promise<TunnelRun> {
  const receiver = fileURLToPath(new URL("receiver.mjs", import.meta.url));
  const { stdout } = await run(process.execPath, [receiver, String(bytes), String(streams), String(stalled)]);
  return JSON.parse(stdout) as TunnelRun;
}

/** Sends the same bytes between the same two processes without a tunnel. Returns seconds. */
export async function bare(bytes: number): Promise<number> {
  const program = fileURLToPath(new URL("bare.mjs", import.meta.url));
  const { stdout } = await run(process.execPath, [program, String(bytes)]);
  return (JSON.parse(stdout) as { seconds: number }).seconds;
}

/** The size of the file that `cat` reads repeatedly, in bytes. It is small enough to be read from memory instead of a disk. */
const PIECE = 100e6;

/** Sends the same bytes through one pipe: `cat FILE… | cat > /dev/null`. Returns seconds. */
export async function twoCats(bytes: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "bench-"));
  const path = join(folder, "zeros");
  await writeFile(path, Buffer.alloc(PIECE));
  const start = performance.now();
  await run("sh", ["-c", 'cat "$@" | cat > /dev/null', "sh", ...Array.from({ length: bytes / PIECE }, () => path)]);
  const seconds = (performance.now() - start) / 1000;
  await rm(folder, { recursive: true });
  return seconds;
}
