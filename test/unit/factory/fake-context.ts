import type { BuildContext, ContextEntry } from "../../../src/build-context/build-context.ts";

/** The files of a fake context by path: the content, a link, or null for a folder. */
export type FakeFiles = Record<
  string,
  string | null | { link?: string; hardLink?: string; content?: string; mode?: number }
>;

/** Returns a context of these files, in their order. */
export function fakeContext(files: FakeFiles): BuildContext & { isClosed: () => boolean } {
  let isClosed = false;
  const contents = new Map<string, string>();
  const entries = Object.entries(files).map(([path, given]): ContextEntry => {
    const base = { path, mode: 0o644, mtime: 0 };
    if (given === null) return { ...base, kind: "folder", mode: 0o755 };
    const { link, hardLink, content = "", mode = 0o644 } = typeof given === "string" ? { content: given } : given;
    if (link !== undefined) return { ...base, kind: "symlink", target: link };
    if (hardLink !== undefined) return { ...base, kind: "hard-link", target: hardLink };
    contents.set(path, content);
    return { ...base, kind: "file", mode, size: content.length };
  });
  return {
    entries,
    async *read(file) {
      yield Buffer.from(contents.get(file.path) ?? "");
    },
    isClosed: () => isClosed,
    [Symbol.asyncDispose]: async () => void (isClosed = true),
  };
}

export async function contentOf(context: BuildContext, path: string): Promise<string> {
  const file = context.entries.find((entry) => entry.path === path);
  if (file?.kind !== "file") throw new Error(`no file ${path}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of context.read(file)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
