import type { BuildContext, ContextEntry, ContextFile } from "../build-context/build-context.ts";
import { toEntryPath, shownPath } from "../build-context/paths.ts";
import { Failure, type FailureText } from "../output/errors.ts";

/** Thrown for a tree without the files that define an image. */
export class MissingBuildFiles extends Failure {
  /** The folder that contains all entries of the tree */
  readonly onlyFolder: string | undefined;

  constructor(message: string, text: FailureText, onlyFolder: string | undefined) {
    super("not-buildable", message, text);
    this.onlyFolder = onlyFolder;
  }
}

/** How a source tree defines its image. */
export type Layout =
  | { kind: "dockerfile"; dockerfile: string }
  /** `build.sh` and `run.sh` at the root, and how to start each of them. */
  | { kind: "scripts"; build: Script; run: Script };

export interface Script {
  isExecutable: boolean;
  /** The kernel can start it, because it begins with `#!` or is a program. Otherwise a shell runs it. */
  hasInterpreter: boolean;
}

const DOCKERFILE = "Dockerfile";
const BUILD = "build.sh";
const RUN = "run.sh";
/** The first bytes of files that the kernel can start (execve(2)): a script with its interpreter, an ELF program. */
const STARTS = ["#!", "\u007fELF"];
/** Maximum number of symbolic links that are followed to a file, as in Linux (path_resolution(7)) */
const MAX_LINKS = 40;

/**
 * Finds out what to build. Throws {@link MissingBuildFiles}, or a Failure `not-buildable` for a script that cannot be started.
 *
 * @param dockerfile -f, in UTF-8: the path of a file that must exist. Default: a Dockerfile at the root, or the two scripts
 */
export async function findLayout(
  context: BuildContext,
  dockerfile: string | undefined,
  signal: AbortSignal,
): Promise<Layout> {
  const { entries } = context;
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const wanted = dockerfile ?? DOCKERFILE;
  if (fileAt(byPath, toEntryPath(wanted)) !== undefined) return { kind: "dockerfile", dockerfile: wanted };
  if (dockerfile !== undefined) throw missingFiles(entries, `there is no file ${dockerfile} in the archive`);
  const [build, run] = [fileAt(byPath, BUILD), fileAt(byPath, RUN)];
  if (build === undefined || run === undefined) throw missingFiles(entries, missingAtRoot(byPath));
  return {
    kind: "scripts",
    build: await readScript(context, BUILD, build, signal),
    run: await readScript(context, RUN, run, signal),
  };
}

function missingAtRoot(byPath: ReadonlyMap<string, ContextEntry>): string {
  const [has, lacks] = byPath.has(BUILD) ? [BUILD, RUN] : [RUN, BUILD];
  const found = byPath.get(lacks);
  if (found !== undefined) return `${lacks} at the root of the archive is not a file`;
  if (byPath.has(has)) return `the archive has ${has} at its root, and no ${lacks}`;
  return "the archive has neither a Dockerfile nor build.sh and run.sh at its root";
}

async function readScript(
  context: BuildContext,
  name: string,
  file: ContextFile,
  signal: AbortSignal,
): Promise<Script> {
  const isExecutable = (file.mode & 0o111) !== 0;
  const start = await startOf(context, file, signal);
  const hasInterpreter = STARTS.some((begin) => start.startsWith(begin));
  if (isExecutable || hasInterpreter) return { isExecutable, hasInterpreter };
  throw new Failure("not-buildable", `${name} cannot be started: it is not executable, and does not begin with #!`, {
    expected: `an executable ${name}, or one with a first line such as #!/bin/sh`,
    hint: `chmod +x ${name}, or git update-index --chmod=+x ${name}`,
  });
}

/** Returns the first four bytes, or all bytes of a shorter file. */
async function startOf(context: BuildContext, file: ContextFile, signal: AbortSignal): Promise<string> {
  let start = Buffer.alloc(0);
  for await (const chunk of context.read(file, signal)) {
    start = Buffer.concat([start, chunk.subarray(0, 4)]);
    if (start.length >= 4) break;
  }
  return start.toString("latin1", 0, 4);
}

/** Returns the file at a path, following links inside the tree; undefined if there is none. Does not follow links to folders. */
function fileAt(byPath: ReadonlyMap<string, ContextEntry>, path: string): ContextFile | undefined {
  let entry = byPath.get(path);
  for (let links = 0; links < MAX_LINKS; links += 1) {
    if (entry === undefined || entry.kind === "folder") return undefined;
    if (entry.kind === "file") return entry;
    const to: string | undefined = entry.kind === "hard-link" ? entry.target : resolveLink(entry.path, entry.target);
    entry = to === undefined ? undefined : byPath.get(to);
  }
  return undefined;
}

/** Returns the path that a symbolic link points to; undefined for a path outside the tree. */
function resolveLink(path: string, target: string): string | undefined {
  if (target.startsWith("/")) return undefined;
  const names = path.split("/").slice(0, -1);
  for (const name of target.split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined) return undefined;
  }
  return names.join("/");
}

/** Creates the failure. The usual mistake is an archive whose files are all in one folder: `git archive --prefix`, GitHub's tarballs. */
function missingFiles(entries: readonly ContextEntry[], message: string): MissingBuildFiles {
  const top = onlyFolder(entries);
  const text = {
    expected: "a Dockerfile (-f names another), or the files build.sh and run.sh",
    hint:
      top === undefined
        ? "Add a Dockerfile, or both scripts, at the root of the tree."
        : "Use --strip 1, which makes that folder the root.",
  };
  return new MissingBuildFiles(
    message + (top === undefined ? "" : `, only the folder ${JSON.stringify(top)}`),
    text,
    top,
  );
}

/** Returns the name of the folder that contains all entries. */
function onlyFolder(entries: readonly ContextEntry[]): string | undefined {
  const roots = new Set(entries.map(({ path }) => path.split("/", 1)[0] ?? ""));
  const [name] = roots;
  if (roots.size !== 1 || name === undefined) return undefined;
  const isFolder = entries.some(({ path, kind }) => path !== name || kind === "folder");
  return isFolder ? shownPath(name) : undefined;
}
