import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openFolderContext, type FolderContextOptions } from "../../../src/build-context/folder/open-folder-context.ts";
import { shownPath } from "../../../src/build-context/paths.ts";

/** The entry at each path: a file with this text, a link (`-> target`), or an empty folder (a path that ends with a slash). */
export type Tree = Record<string, string>;

/** Creates a folder with these files, which is removed at the end of the scope. */
export function contextFolder(tree: Tree): { path: string; at: (name: string) => string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "build-context-"));
  const at = (name: string): string => join(path, name);
  for (const [name, content] of Object.entries(tree)) {
    mkdirSync(name.endsWith("/") ? at(name) : dirname(at(name)), { recursive: true });
    if (content.startsWith("-> ")) symlinkSync(content.slice(3), at(name));
    else if (!name.endsWith("/")) writeFileSync(at(name), content);
  }
  return { path, at, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Returns the paths in a context. Those of folders end with a slash. */
export async function pathsOf(folder: string, options?: FolderContextOptions): Promise<string[]> {
  await using context = await openFolderContext(folder, options);
  return context.entries.map(({ kind, path }) => shownPath(path) + (kind === "folder" ? "/" : ""));
}
