/** For the tests of a file that imports it: projects to build, a base for them on the far engine, and an `ssh` that counts its runs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import type { Engine } from "../testbed/engine.ts";
import { BASE, importBase } from "../testbed/build-base.ts";
import type { TwoMachines } from "../testbed/testbed.ts";
import { bed, why, type Run } from "./bed.ts";

export { BASE, importBase };

/** The state of one test. */
export let folder: string;
/** Counts the runs of ssh ({@link connections}). */
export let env: Record<string, string>;

beforeAll(async () => {
  if (!why) await importBase(bed.far);
});

afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, bed.far]) await removeBuilt(engine);
});

beforeEach(() => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-build-"));
  const log = join(folder, "logins");
  const ssh = `#!/bin/sh\necho run >> ${log}\nexec ${join(bed.bin, "ssh")} "$@"\n`;
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/ssh"), ssh, { mode: 0o755 });
  env = { PATH: `${join(folder, "bin")}:${bed.env["PATH"]}` };
});

afterEach(() => {
  if (!why) rmSync(folder, { recursive: true, force: true });
});

async function removeBuilt(engine: Engine): Promise<void> {
  const ours = (await engine.listing()).references.filter((name) => /(?:^|\/)build-/.test(name));
  if (ours.length > 0) await engine.docker("rmi", "--force", ...ours);
}

/** Returns how often ssh has been run. */
export function connections(): number {
  return readFileSync(join(folder, "logins"), "utf8").trim().split("\n").length;
}

/** Writes files into a new folder. @returns its path */
export function project(files: Record<string, string | Uint8Array>, name = "project"): string {
  const at = join(folder, name);
  mkdirSync(at);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), content);
  }
  return at;
}

/** Returns the fields of the event `built` of --json that the tests use. */
export function builtIn({ stdout }: Run): { names: string[]; id: string; digest?: string; contextBytes: number } {
  const events = stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as { type: string }]));
  return events.find(({ type }) => type === "built") as never;
}

export function twoMachines(): TwoMachines {
  const { machines } = bed.description;
  if ("why" in machines) throw new Error(machines.why);
  return machines;
}

/** Returns the command lines of the far machine's processes whose arguments or environment contain this text. */
export function farProcessesWith(text: string): string[] {
  const machine = readlinkSync(`/proc/${twoMachines().far.init.pid}/ns/pid`);
  return readdirSync("/proc").flatMap((pid) => {
    try {
      if (readlinkSync(`/proc/${pid}/ns/pid`) !== machine) return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return `${command}${readFileSync(`/proc/${pid}/environ`, "utf8")}`.includes(text) ? [command] : [];
    } catch {
      return []; // not a process, or it has ended
    }
  });
}

/** Starts a program in the network of the far machine; it ends when the result is disposed of. Resolves once it has printed the text, with its output so far. */
export async function inFarNetwork(
  [program = "", ...args]: readonly string[],
  untilPrints: string,
): Promise<{ printed: string } & AsyncDisposable> {
  const words = ["--target", String(twoMachines().far.init.pid), "--net", "--", program, ...args];
  const child = spawn("nsenter", words, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  const ended = once(child, "close");
  let printed = "";
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data: Buffer) => {
        printed += data.toString();
        if (printed.includes(untilPrints)) resolve();
      });
    }
    void ended.then(() => reject(new Error(`${program} has ended: ${printed}`)));
  });
  return {
    printed,
    async [Symbol.asyncDispose]() {
      process.kill(-(child.pid ?? 0), "SIGTERM");
      await ended;
    },
  };
}
