import { readFileSync, realpathSync } from "node:fs";
import { posix } from "node:path";
import { findProgram, run } from "./programs.ts";
import { fileEntry, type TarEntry } from "./tar.ts";

/**
 * Returns the files that a program of this machine needs to run in a container: the program and the libraries that it loads.
 * @param path the program's path in the container: `bin/busybox`
 */
export async function programWithLibraries(name: string, path: string): Promise<TarEntry[]> {
  const program = await findProgram(name);
  if (!program) throw new Error(`there is no ${name} on this machine`);
  // ldd(1) fails for a statically linked program.
  const { stdout } = await run({ reject: false })`ldd ${program}`;
  const libraries = Array.from(stdout.matchAll(/(\/\S+) \(0x/g), ([, library = ""]) => library);
  return [
    fileEntry(path, readFileSync(realpathSync(program)), 0o755),
    ...libraries.map((library) => fileEntry(library.slice(1), readFileSync(library), 0o755)),
  ];
}

/** Returns busybox with the names of all its programs, and the folders that programs expect. */
export async function baseFiles(): Promise<TarEntry[]> {
  const { stdout } = await run`busybox --list`;
  const applets = stdout.split("\n").filter((applet) => applet !== "busybox");
  return [
    ...["bin", "etc", "proc", "root", "sys", "var"].map(folderEntry),
    { ...folderEntry("tmp"), mode: 0o1777 },
    fileEntry("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
    fileEntry("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ...(await programWithLibraries("busybox", "bin/busybox")),
    ...applets.map((applet): TarEntry => ({
      path: posix.join("bin", applet),
      type: "link",
      target: "busybox",
    })),
  ];
}

export function folderEntry(path: string): Extract<TarEntry, { type: "folder" }> {
  return { path, type: "folder" };
}
