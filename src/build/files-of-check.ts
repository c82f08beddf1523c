import { findEntry } from "../build-context/find-entry.ts";
import type { OpenedContext } from "../build-context/local-files.ts";
import { digestOf, type Digest } from "../image/digest.ts";

/**
 * Returns the part of a context that the check of its Dockerfile reads: the Dockerfile and the ignore files. If one of them is a link, which may
 * point anywhere, returns all files.
 */
export function filesOfCheck(files: OpenedContext): OpenedContext {
  const { dockerfile } = files;
  const names = [dockerfile, `${dockerfile}.dockerignore`, ".dockerignore"];
  const read = names.flatMap((name) => findEntry(files, name) ?? []);
  if (read.some(({ kind }) => kind !== "file")) return files;
  const isAbove = (folder: string): boolean => read.some(({ path }) => path.startsWith(`${folder}/`));
  return { ...files, entries: files.entries.filter((entry) => read.includes(entry) || isAbove(entry.path)) };
}

/**
 * Returns the key under which the remote side keeps these few files. It differs from the project's key, so they do not replace the
 * project's context.
 */
export function keyOfCheck(contextKey: string): Digest {
  return digestOf(JSON.stringify(["check", contextKey]));
}
