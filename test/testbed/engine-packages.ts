import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { aptFolder } from "./apt-folder.ts";
import { docker29Folder } from "./docker-29.ts";
import { checkTestbed } from "./check.ts";
import { exclusively, installWithApt, osRelease } from "./packages.ts";
import { cacheFolder } from "./paths.ts";
import { fetching, run, systemPath } from "./programs.ts";

/**
 * The kind of an engine. `host` is the machine's Docker engine, installed from its Debian or Ubuntu if necessary. The others are unpacked from
 * the Debian release that has them (Debian only), except for 29, which no release has, and which is built with Go. Docker stores images with a
 * graph driver, or, with `-containerd`, in the containerd image store. `podman` is Podman 4.3.
 */
export type EngineKind =
  | "host"
  | "20.10"
  | "26.1"
  | "26.1-containerd"
  | "28.5"
  | "28.5-containerd"
  | "29"
  | "29-containerd"
  | "podman";

/** The packages of Podman, of the programs that it runs, of skopeo, and of their libraries that not every Debian has. */
const podman = "podman conmon crun skopeo".split(" ");
const podmanLibraries =
  "libassuan0 libdevmapper1.02.1 libglib2.0-0 libgpg-error0 libgpgme11 libseccomp2 libsemanage2 libsepol2 libsubid4 libyajl2".split(
    " ",
  );

/** The Debian release that has each engine. sid changes: see {@link Engine.version}. */
const releases = {
  podman: { suite: "bookworm", packages: [...podman, ...podmanLibraries] },
  "20.10": { suite: "bookworm", packages: ["docker.io", "containerd"] },
  "26.1": { suite: "trixie", packages: ["docker.io", "docker-cli", "containerd"] },
  "28.5": { suite: "sid", packages: ["docker.io", "docker-cli", "containerd"] },
} as const;

/**
 * @returns a PATH that begins with the engine's programs. Before Docker 29, runc is the machine's own. With Podman, docker is the machine's own
 */
export async function enginePath(kind: EngineKind): Promise<string> {
  if (await isOfHost(kind)) return systemPath();
  const version = kind.replace("-containerd", "") as Exclude<EngineKind, "host" | `${string}-containerd`>;
  // Its other programs and the docker CLI are those of the latest Debian release.
  if (version === "29") return `${await docker29Folder()}:${await enginePath("28.5")}`;
  const { suite, packages } = releases[version];
  const finish = version === "podman" ? wrapPodman : addLibrary;
  const folder = await unpackPackages(`engine-${version}`, { suite, packages, finish });
  return version === "podman"
    ? `${folder}/bin:${systemPath()}`
    : `${folder}/usr/sbin:${folder}/usr/bin:${systemPath()}`;
}

/** @returns the folder with buildx, for the docker CLI's `cliPluginsExtraDirs` */
export async function buildxFolder(): Promise<string> {
  const folder = await unpackPackages("buildx", { suite: "trixie", packages: ["docker-buildx"] });
  return join(folder, "usr/libexec/docker/cli-plugins");
}

/** @returns the folder with the docker CLI 20.10, which has BuildKit without buildx */
export async function oldestCli(): Promise<string> {
  return join(await unpackPackages("cli-20.10", { suite: "bookworm", packages: ["docker.io"] }), "usr/bin");
}

/** @returns the folder with Debian's latest buildx and compose, for the docker CLI's `cliPluginsExtraDirs` */
export async function latestPlugins(): Promise<string> {
  const packages = ["docker-buildx", "docker-compose"];
  return join(await unpackPackages("plugins", { suite: "sid", packages }), "usr/libexec/docker/cli-plugins");
}

/**
 * Returns why an engine of this kind cannot run on this machine, in one line, for `test.skipIf` and the title of the test. If the engine can run,
 * this function also prepares its programs, which may take longer than a test hook may: call it when the file is loaded, not in a hook.
 */
export async function whyNotKind(kind: EngineKind): Promise<string | undefined> {
  if (!kind.startsWith("29") || (await isOfHost(kind))) return undefined;
  return await (whyNo29 ??= prepare29());
}

let whyNo29: Promise<string | undefined> | undefined;

async function prepare29(): Promise<string | undefined> {
  const check = await checkTestbed();
  if (!check.usable) return check.why;
  try {
    await docker29Folder();
    return undefined;
  } catch (error) {
    const [why] = (error as Error).message.split("\n");
    // Few vitest reporters print the titles of skipped tests.
    process.stderr.write(`Tests with Docker 29 are skipped: ${why}\n`);
    return why;
  }
}

/** Returns whether the machine's own engine is of this kind. */
async function isOfHost(kind: EngineKind): Promise<boolean> {
  if (kind === "host") return true;
  const { stdout } = await run({ reject: false })`dockerd --version`;
  return stdout.includes(`version ${kind.replace("-containerd", "")}.`);
}

interface Unpacked {
  suite: string;
  packages: readonly string[];
  /** Prepares the folder before it is used. */
  finish?: (root: string) => void | Promise<void>;
}

/**
 * Unpacks packages of a Debian release into a cache folder, once for all runs. Their programs run with the libc of Debian 12.
 * @returns the folder
 */
async function unpackPackages(name: string, unpacked: Unpacked): Promise<string> {
  const folder = join(cacheFolder, name);
  if (!existsSync(folder)) {
    await exclusively(name, async () => {
      if (!existsSync(folder)) await download(folder, unpacked);
    });
  }
  return folder;
}

async function download(folder: string, { suite, packages, finish }: Unpacked): Promise<void> {
  const { mirror, keyring } = debianSource(suite);
  const work = `${folder}.part-${process.pid}`;
  for (const sub of ["packages", "root"]) mkdirSync(join(work, sub), { recursive: true });
  const options = aptFolder(work, `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`);
  await fetching("apt-get", [...options, "update", "-qq"]);
  const cwd = join(work, "packages");
  await fetching("apt-get", [...options, "download", "-qq", ...packages], { cwd });
  for (const file of readdirSync(cwd)) await run`dpkg -x ${join(cwd, file)} ${join(work, "root")}`;
  await finish?.(join(work, "root"));
  renameSync(join(work, "root"), folder);
  await run`rm -rf ${work}`;
}

/** Installs the library that 20.10 needs and later engines do not need. */
async function addLibrary(root: string): Promise<void> {
  const { failed } = await run({ reject: false })`${join(root, "usr/sbin/dockerd")} --version`;
  if (failed) await installWithApt(["libdevmapper1.02.1"]);
}

/** Wraps the programs in `bin/` so that they find their unpacked libraries. Installing these libraries could replace those of the machine. */
function wrapPodman(root: string): void {
  const script = `#!/bin/sh
root=\${0%/bin/*}
LD_LIBRARY_PATH=$(echo "$root"/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu | tr ' ' :) exec "$root/usr/bin/\${0##*/}" "$@"
`;
  mkdirSync(join(root, "bin"));
  for (const program of podman) writeFileSync(join(root, "bin", program), script, { mode: 0o755 });
}

/** Returns this machine's Debian mirror, and the keys that the machine trusts for it. */
export function debianSource(suite: string): { mirror: string; keyring: string } {
  const release = osRelease();
  const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  const mirror = aptSources()
    .filter(({ suites }) => suites.includes(release["VERSION_CODENAME"] ?? ""))
    .map(({ uri }) => uri)[0];
  if (release["ID"] !== "debian" || !mirror || !existsSync(keyring)) {
    throw new Error(`this engine is unpacked from Debian ${suite}, which only Debian can reach`);
  }
  return { mirror, keyring };
}

/** Reads apt sources in both formats of sources.list(5). */
export function aptSources(): { uri: string; suites: string[] }[] {
  const parts = "/etc/apt/sources.list.d";
  const files = existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : [];
  return ["/etc/apt/sources.list", ...files].filter(existsSync).flatMap((file) => {
    const text = readFileSync(file, "utf8").replace(/^#.*\n/gm, "");
    if (file.endsWith(".sources")) {
      return text.split(/\n{2,}/).flatMap((stanza) => {
        const field = (name: string) => new RegExp(`^${name}: *(.*)$`, "im").exec(stanza)?.[1]?.split(/\s+/) ?? [];
        return field("URIs").map((uri) => ({ uri, suites: field("Suites") }));
      });
    }
    const lines = text.matchAll(/^deb (?:\[.*?\] *)?(\S+) +(\S+)/gm);
    return Array.from(lines, ([, uri = "", suite = ""]) => ({ uri, suites: [suite] }));
  });
}
