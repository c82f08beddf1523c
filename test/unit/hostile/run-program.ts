import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, expect } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { makeImage, savePodman } from "../image/make-image.ts";
import { layoutOf, writeTar, writeTree } from "../places/images.ts";

/** Of the test file that imports this; removed after its last test. */
export const folder = await mkdtemp(join(tmpdir(), "hostile-"));
afterAll(async () => await rm(folder, { recursive: true }));

/** The built program, as a word of a command. */
export const program = [process.execPath, join(import.meta.dirname, "../../../bin/docker-over-ssh.js")];

/** What is in every place that something could be put into, and has to stay. */
const old = await makeImage([400]);

/** Tells at its end how much memory a process had, at most. */
const PEAK = `process.on("exit",()=>require("node:fs").writeFileSync(process.env.PEAKS+"/"+process.pid,String(process.resourceUsage().maxRSS)))`;
const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(`import{createRequire}from"node:module";const require=createRequire("file:///");${PEAK}`)}`;

/** MB of memory that no attack may make a process have, whatever it announces or sends. */
export const MODEST = 200;

export interface Ended {
  exitCode: number | undefined;
  stderr: string;
  /** MB of memory, at most, of any process that took part. */
  peak: number;
  /** Files and folders that are not what they were: targets, caches, temporary ones. */
  changed: string[];
}

/** A folder of its own to run in: with an old layout `target`, old files `app.tar` and `oci.tar`, and nothing in the cache. */
export async function workplace(): Promise<{ run: (...words: string[]) => Promise<Ended>; socket: string }> {
  const base = await mkdtemp(join(folder, "run-"));
  const [work, peaks] = [join(base, "work"), join(base, "peaks")];
  for (const path of [peaks, join(work, "cache/docker-over-ssh"), join(work, "tmp")])
    await mkdir(path, { recursive: true });
  await writeTree(join(work, "target"), layoutOf([{ image: old, ref: "app:v1" }]));
  await writeTar(join(work, "app.tar"), await savePodman(old));
  await writeTar(join(work, "oci.tar"), layoutOf([{ image: old, ref: "app:v1" }]));
  const env = {
    XDG_CACHE_HOME: join(work, "cache"),
    TMPDIR: join(work, "tmp"),
    DOCKER_HOST: "unix:///nowhere.sock",
    NO_COLOR: "1",
    NODE_OPTIONS,
    PEAKS: peaks,
  };
  return {
    socket: join(base, "far.sock"),
    async run(...words) {
      const before = await stateOf(work);
      const line = [...program.slice(1), ...words];
      const { exitCode, stderr } = await execa(process.execPath, line, {
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

const KEPT = "cache/docker-over-ssh/kept";

/** How a command ended, as {@link refused} has it. */
export function told({ exitCode, stderr, peak, changed }: Ended): object {
  // As people know it: what failed, what was expected, what to do.
  const inForm = /^docker-over-ssh: .+\n {2}expected: .+\n {2}to do: {4}.+/m.test(stderr);
  const isModest = peak > 0 && peak < MODEST ? true : `${peak} MB`;
  // What has come of layers before a link broke, or a message was wrong, is kept for the next run.
  const isKept = (path: string): boolean => [1, 10].includes(exitCode ?? 0) && path.startsWith(KEPT);
  const others = changed.filter((path) => !isKept(path));
  return { exitCode, stderr, isClear: inForm && !stderr.includes("undefined"), isModest, changed: others };
}

/** Refused with that status and those words, in the form that people know; nothing has changed, little memory was used. */
export function refused(exitCode: number, words: RegExp): object {
  const stderr = expect.stringMatching(words) as string;
  return { exitCode, stderr, isClear: true, isModest: true, changed: [] };
}

/** Every file by its path with what it holds, every folder by its path. */
async function stateOf(path: string): Promise<Map<string, string>> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const described = entries.map(async (entry): Promise<[string, string]> => {
    const at = join(entry.parentPath, entry.name);
    return [at.slice(path.length + 1), entry.isFile() ? digestOf(await readFile(at)) : "not a file"];
  });
  return new Map(await Promise.all(described));
}
