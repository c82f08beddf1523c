import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { exclusively, installWithApt } from "./packages.ts";
import { cacheFolder } from "./paths.ts";
import { fetching, run, systemPath } from "./programs.ts";

/** No Debian release has Docker 29 yet, so its daemon is built from its Go module, which has a version number of its own. */
const VERSION = "29.7.2";
const DOCKERD = "github.com/moby/moby/v2/cmd/dockerd@v2.0.0-beta.24";

/** Docker 29 gives each container a time namespace, which runc 1.1 of Debian 12 does not support. */
const RUNC = "github.com/opencontainers/runc@v1.3.4";
/** runc contains C code that links this library. */
const RUNC_NEEDS = ["gcc", "libc6-dev", "libseccomp-dev", "pkg-config"];

/** The folder of the built programs, which is named after their versions. */
const folder = join(cacheFolder, `engine-${VERSION}`);

/** A PATH for go, whose own installer puts it outside of PATH. Debian's go does not download the version that a module requires. */
const env = { PATH: `${systemPath()}:/usr/local/go/bin`, GOTOOLCHAIN: "auto" };

/**
 * Builds Docker 29 if it has not been built before. This takes minutes, longer than a test hook may take.
 * @returns the folder with its `dockerd` and `runc`
 * @throws an error with one line that says why it cannot be built
 */
export async function docker29Folder(): Promise<string> {
  if (!existsSync(folder)) {
    await exclusively("engine-29", async () => {
      if (!existsSync(folder)) await build();
    });
  }
  return folder;
}

async function build(): Promise<void> {
  const { failed } = await fetching({ env, reject: false })`go version`;
  if (failed) throw new Error("Docker 29 is built with Go, and there is no go here");
  process.stderr.write(`Docker ${VERSION} is built from its Go modules, once: this takes minutes\n`);
  const part = `${folder}.part`;
  // An interrupted build has left it. Its object files are in Go's own cache.
  rmSync(part, { recursive: true, force: true });
  await installLibraries();
  const stamp = `-s -w -X github.com/moby/moby/v2/dockerversion.Version=${VERSION}`;
  await goInstall(part, ["-tags", "seccomp", RUNC], { CGO_ENABLED: "1" });
  await goInstall(part, ["-tags", "netgo osusergo", "-ldflags", stamp, DOCKERD], { CGO_ENABLED: "0" });
  renameSync(part, folder);
}

async function installLibraries(): Promise<void> {
  const { failed } = await run({ reject: false })`dpkg --status ${RUNC_NEEDS}`;
  if (!failed) return;
  await exclusively("packages", async () => {
    await fetching`apt-get update -qq`;
    await installWithApt(RUNC_NEEDS);
  });
}

async function goInstall(into: string, args: string[], settings: Record<string, string>): Promise<void> {
  const options = { env: { ...env, ...settings, GOBIN: into }, reject: false } as const;
  const { failed, stderr } = await fetching("go", ["install", ...args], options);
  if (failed) throw new Error(`Docker 29 cannot be built here: ${stderr.trim().split("\n").at(-1)}`);
}
