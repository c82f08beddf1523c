import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, expect } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { makeImage, savePodman } from "../image/make-image.ts";
import { layoutOf, writeTar, writeTree } from "../command-line/images.ts";

/** A folder for the test file that imports this module. It is removed after the last test. */
export const folder = await mkdtemp(join(tmpdir(), "hostile-"));
afterAll(async () => await rm(folder, { recursive: true }));

/** The first words of a command line that runs the built program. */
export const program = [process.execPath, join(import.meta.dirname, "../../../bin/docker-over-ssh.js")];

/** The image in every target, which must stay unchanged. */
const oldImage = await makeImage([400]);

/**
 * For `node --import`: writes the peak memory of a process, in kB, to a file when the process ends. Uses VmHWM if /proc exists, because maxRSS
 * includes the memory of the process from which it was forked, in this case the test.
 */
const PEAK = `
import { readFileSync, writeFileSync } from "node:fs";
process.on("exit", () => {
  let kB = process.resourceUsage().maxRSS;
  try {
    kB = /^VmHWM:\\s*(\\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1];
  } catch {}
  writeFileSync(process.env.PEAKS + "/" + process.pid, String(kB));
});`;
const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(PEAK)}`;

/** The upper limit for the memory of a process in MB, whatever an attack announces or sends. */
export const MAX_MEMORY = 200;

export interface ProgramRun {
  exitCode: number | undefined;
  stderr: string;
  /** The peak memory of all processes, in MB. */
  peak: number;
  /** The files and folders that have changed in targets, the cache folder and the folder for temporary files. */
  changed: string[];
}

/** Creates a working folder with an old layout `target`, old archives `app.tar` and `oci.tar`, and an empty cache folder. */
export async function makeWorkspace(): Promise<{ run: (...args: string[]) => Promise<ProgramRun>; socket: string }> {
  const base = await mkdtemp(join(folder, "run-"));
  const [work, peaks] = [join(base, "work"), join(base, "peaks")];
  for (const path of [peaks, join(work, "cache/docker-over-ssh"), join(work, "tmp")])
    await mkdir(path, { recursive: true });
  await writeTree(join(work, "target"), layoutOf([{ image: oldImage, ref: "app:v1" }]));
  await writeTar(join(work, "app.tar"), await savePodman(oldImage));
  await writeTar(join(work, "oci.tar"), layoutOf([{ image: oldImage, ref: "app:v1" }]));
  const env = {
    XDG_CACHE_HOME: join(work, "cache"),
    TMPDIR: join(work, "tmp"),
    DOCKER_HOST: "unix:///nowhere.sock",
    NO_COLOR: "1",
    NODE_OPTIONS,
    PEAKS: peaks,
  };
  return {
    socket: join(base, "remote.sock"),
    async run(...args) {
      const before = await stateOf(work);
      const argv = [...program.slice(1), ...args];
      const { exitCode, stderr } = await execa(process.execPath, argv, {
        cwd: work,
        env,
        reject: false,
        stdin: "ignore",
      });
      const after = await stateOf(work);
      const paths = [...new Set([...before.keys(), ...after.keys()])];
      const all = (await readdir(peaks)).map(async (pid) => Number(await readFile(join(peaks, pid), "utf8")) / 1024);
      return {
        exitCode,
        stderr,
        peak: Math.max(...(await Promise.all(all))),
        changed: paths.filter((path) => before.get(path) !== after.get(path)),
      };
    },
  };
}

const RESUME_CACHE = "cache/docker-over-ssh/kept";

/** Returns the outcome of a run, to compare with {@link refused}. */
export function outcome({ exitCode, stderr, peak, changed }: ProgramRun): object {
  // The three parts of an error message.
  const hasAllParts = /^docker-over-ssh: .+\n {2}expected: .+\n {2}to do: {4}.+/m.test(stderr);
  const isModest = peak > 0 && peak < MAX_MEMORY ? true : `${peak} MB`;
  // After a broken link or an invalid message, the resume cache contains partial layers for the next run.
  const isPartialLayer = (path: string): boolean => [1, 10].includes(exitCode ?? 0) && path.startsWith(RESUME_CACHE);
  const others = changed.filter((path) => !isPartialLayer(path));
  return { exitCode, stderr, isClear: hasAllParts && !stderr.includes("undefined"), isModest, changed: others };
}

/** The outcome of a run that fails with this status and message, has changed no file, and has used little memory. */
export function refused(exitCode: number, message: RegExp): object {
  const stderr = expect.stringMatching(message) as string;
  return { exitCode, stderr, isClear: true, isModest: true, changed: [] };
}

/** Returns all folders, and the digest of every file by its path. */
async function stateOf(path: string): Promise<Map<string, string>> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const described = entries.map(async (entry): Promise<[string, string]> => {
    const at = join(entry.parentPath, entry.name);
    return [at.slice(path.length + 1), entry.isFile() ? digestOf(await readFile(at)) : "not a file"];
  });
  return new Map(await Promise.all(described));
}
