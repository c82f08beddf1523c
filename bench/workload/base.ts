import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { aptFolder } from "../../test/testbed/apt-folder.ts";
import { aptSources, debianSource } from "../../test/testbed/engine-packages.ts";
import { osRelease } from "../../test/testbed/packages.ts";
import { run } from "../../test/testbed/programs.ts";

/** The packages of a typical base image: Debian's userland, a compiler, libraries to build against. */
export const BASE_PACKAGES = (
  "?essential apt ca-certificates curl wget git gnupg openssh-client procps python3 " +
  "build-essential libssl-dev libpq-dev libxml2-dev libxslt1-dev libcurl4-openssl-dev"
).split(" ");

/** The latest point release, or the same with the security updates since, like a newer base image. */
export type BaseState = "released" | "upgraded";

/**
 * Unpacks Debian packages and their dependencies into `root`, without configuring them. The machine's apt sources determine the
 * versions, which are written to packages.txt next to it.
 */
export async function plantBase(root: string, state: BaseState): Promise<void> {
  const work = join(root, "../apt");
  const options = aptFolder(work, sources(state), { "APT::Install-Recommends": "false" });
  await run("apt-get", [...options, "update", "-qq"]);
  await run("apt-get", [...options, "install", "-qq", "-y", "--download-only", ...BASE_PACKAGES]);
  mergeUsr(root);
  const archives = join(work, "cache/archives");
  const packages = readdirSync(archives)
    .filter((file) => file.endsWith(".deb"))
    .toSorted();
  const unpack = `for file; do dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink -C "$ROOT"; done`;
  const files = packages.map((file) => join(archives, file));
  await run("sh", ["-ec", unpack, "sh", ...files], { env: { ROOT: root } });
  writeFileSync(join(root, "../packages.txt"), `${packages.join("\n")}\n`);
  await run`rm -rf ${work}`;
}

/** Debian's release and, for an upgraded base, its security updates. */
function sources(state: BaseState): string {
  const codename = osRelease()["VERSION_CODENAME"] ?? "";
  const { mirror, keyring } = debianSource(codename);
  const line = (uri: string, suite: string): string => `deb [signed-by=${keyring}] ${uri} ${suite} main\n`;
  if (state === "released") return line(mirror, codename);
  const suite = `${codename}-security`;
  const security = aptSources().find(({ suites }) => suites.includes(suite));
  if (!security) throw new Error(`an upgraded base needs ${suite}, which is not among the apt sources of this machine`);
  return line(mirror, codename) + line(security.uri, suite);
}

/** Does the first step of debootstrap, because packages of this release still have files in /bin and /lib. */
function mergeUsr(root: string): void {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(root, "usr", name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
}
