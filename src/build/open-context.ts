import type { ContextEntry } from "../build-context/build-context.ts";
import { contextSummary, ignoreLine } from "../build-context/context-summary.ts";
import { findEntry } from "../build-context/find-entry.ts";
import { openFolderContext } from "../build-context/folder/open-folder-context.ts";
import type { LocalFiles, OpenedContext } from "../build-context/local-files.ts";
import { shownPath } from "../build-context/paths.ts";
import { Failure } from "../output/errors.ts";
import { newRunId } from "../run/run-id.ts";
import type { Context } from "../transfer.ts";

/** Bytes of a context above which a warning names its largest folders: most such contexts are large by accident. */
const LARGE = 1e9;
/** Maximum number of names in a note. */
const NAMED = 5;

/**
 * Opens the files of a build. Emits notes and warnings about rules that exclude files, files that cannot be sent, and folders that make the context
 * large. Throws a Failure `context-invalid` for files that cannot be used, and `not-buildable` if there is no Dockerfile.
 */
export async function openContext(
  files: LocalFiles,
  dockerfile: string,
  { output, signal, env }: Context,
): Promise<OpenedContext> {
  if (files.kind === "stdin") {
    const { openArchiveContext } = await import("../build-context/archive/open-archive-context.ts");
    const opened = await openArchiveContext(process.stdin, { env, runId: newRunId(), signal, strip: files.strip });
    return await checked({ ...opened, dockerfile }, "the archive", "remove it with --strip 1");
  }
  const opened = await openFolderContext(files.path, { dockerfile, gitignore: files.gitignore, signal });
  const { applied, skipped } = opened;
  if (applied.rules === "gitignore")
    output.note({ code: "gitignore-applied", ...(applied.file && { file: applied.file }) });
  if (skipped.length > 0) {
    const paths = skipped.slice(0, NAMED).map(({ path }) => shownPath(path));
    output.warn({ code: "entries-skipped", count: skipped.length, paths });
  }
  const summary = contextSummary(opened);
  if (summary.bytes > LARGE) {
    const largest = summary.largest.map(({ path, bytes }) => ({ path, bytes, ignoreLine: ignoreLine(path) }));
    // A .dockerignore would disable git's rules.
    const ignoreFile =
      applied.rules === "dockerignore"
        ? (applied.file ?? ".dockerignore")
        : applied.rules === "gitignore"
          ? ".gitignore"
          : ".dockerignore";
    output.warn({ code: "context-large", bytes: summary.bytes, files: summary.files, ignoreFile, largest });
  }
  return await checked(opened, files.path, "name that folder");
}

/** Returns the context if it can be built; otherwise disposes of it and throws. */
async function checked(context: OpenedContext, given: string, insteadOfFolder: string): Promise<OpenedContext> {
  const entry = findEntry(context, context.dockerfile);
  if (entry !== undefined && entry.kind !== "folder") return context;
  await context[Symbol.asyncDispose]();
  if (context.entries.length === 0) {
    throw new Failure("context-invalid", `${given} is empty: there is nothing to build`, {
      expected: "a folder with a Dockerfile; files that .dockerignore or .gitignore exclude do not count",
    });
  }
  throw new Failure("not-buildable", `there is no ${context.dockerfile} in ${given}`, {
    expected: "a Dockerfile at the root of the context, or at the path of -f",
    hint: onlyFolder(context.entries, insteadOfFolder) ?? "Name it with -f PATH.",
  });
}

/** Returns a hint if all files are in one folder. */
function onlyFolder(entries: readonly ContextEntry[], instead: string): string | undefined {
  const [first, ...others] = entries;
  if (first?.kind !== "folder" || !others.every(({ path }) => path.startsWith(`${first.path}/`))) return undefined;
  const name = shownPath(first.path);
  return `All files are in the folder ${name}: ${instead}, or the Dockerfile with -f ${name}/Dockerfile.`;
}
