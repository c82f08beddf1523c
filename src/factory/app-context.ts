import type { BuildContext, ContextEntry, ContextFile } from "../build-context/build-context.ts";
import type { Layout, Script } from "./layout.ts";

/** The folder that contains the tree, in the context and below the root of the image. */
const FOLDER = "app";
/** The Dockerfile's name, which precedes the folder in the order of entries. */
const DOCKERFILE = "Dockerfile";

/** A tree of two scripts, as a context with a Dockerfile. */
export interface AppContext extends BuildContext {
  dockerfile: string;
}

/**
 * Creates a context with a Dockerfile from a tree without one, which has `build.sh` and `run.sh`. The tree becomes a folder of the new context,
 * next to the Dockerfile. As a result, no name in the tree can collide with the Dockerfile, the Dockerfile is not part of the image, and a
 * `.dockerignore` in the tree has no effect: the image contains all files that were sent. Disposing closes the tree.
 *
 * @param base the base image
 */
export function appContext(
  tree: BuildContext,
  scripts: Extract<Layout, { kind: "scripts" }>,
  base: string,
): AppContext {
  const text = Buffer.from(dockerfileFor(scripts, base));
  const dockerfile: ContextFile = { kind: "file", path: DOCKERFILE, mode: 0o644, mtime: 0, size: text.length };
  const folder: ContextEntry = { kind: "folder", path: FOLDER, mode: 0o755, mtime: 0 };
  const originals = new Map<ContextFile, ContextFile>();
  const moved = tree.entries.map((entry) => {
    const into = inFolder(entry);
    if (into.kind === "file" && entry.kind === "file") originals.set(into, entry);
    return into;
  });
  return {
    dockerfile: DOCKERFILE,
    entries: [dockerfile, folder, ...moved],
    read(file, signal) {
      const original = originals.get(file);
      if (original !== undefined) return tree.read(original, signal);
      return (async function* () {
        yield text;
      })();
    },
    [Symbol.asyncDispose]: async () => await tree[Symbol.asyncDispose](),
  };
}

function inFolder(entry: ContextEntry): ContextEntry {
  const path = `${FOLDER}/${entry.path}`;
  // A symbolic link is relative to its folder; a hard link names an entry from the root.
  return entry.kind === "hard-link" ? { ...entry, path, target: `${FOLDER}/${entry.target}` } : { ...entry, path };
}

function dockerfileFor({ build, run }: { build: Script; run: Script }, base: string): string {
  const start = (name: string, { hasInterpreter }: Script): string[] =>
    hasInterpreter ? [`/${FOLDER}/${name}`] : ["/bin/sh", `/${FOLDER}/${name}`];
  const toMark = Object.entries({ "build.sh": build, "run.sh": run })
    .filter(([, { isExecutable }]) => !isExecutable)
    .map(([name]) => name);
  return [
    `FROM ${base}`,
    `WORKDIR /${FOLDER}`,
    `COPY ${FOLDER} /${FOLDER}`,
    ...(toMark.length === 0 ? [] : [`RUN chmod +x ${toMark.join(" ")}`]),
    `RUN ${JSON.stringify(start("build.sh", build))}`,
    `CMD ${JSON.stringify(start("run.sh", run))}`,
    "",
  ].join("\n");
}
