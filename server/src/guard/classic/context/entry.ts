import type { ContextEntry } from "docker-over-ssh/builds";
import { Refusal } from "../../refusal.ts";
import { invalidEntry } from "./invalid-entry.ts";
import type { TarEntry } from "./tar-entries.ts";

/** Maximum bytes of a path in Linux */
const MAX_PATH = 4095;
/** Maximum bytes of a name in a path */
const MAX_NAME = 255;
const KINDS: Readonly<Record<string, ContextEntry["kind"]>> = {
  "0": "file",
  "\0": "file",
  // Contiguous files
  "7": "file",
  "1": "hard-link",
  "2": "symlink",
  "5": "folder",
};

/**
 * Checks an entry, so that its names have one meaning. "" is the path of the context itself. Throws a Refusal 400 `context.entry` for a device, a FIFO, and
 * names that lead out of the context.
 */
export function checkEntry({ type, name, target, mode, mtime, size }: TarEntry): ContextEntry {
  const path = cleanPath(name);
  const kind = KINDS[type];
  if (type === "S") {
    throw invalidEntry(`${shown(name)} is a sparse file: write the tar without --sparse (bsdtar: --no-read-sparse)`);
  }
  if (kind === undefined) {
    throw invalidEntry(`${shown(name)} is neither a file, a folder nor a link: exclude it with .dockerignore`);
  }
  const common = { path, mode, mtime };
  if (kind === "folder") return { ...common, kind };
  // Old tars mark a folder with a slash at the end of its name.
  if (kind === "file") return name.endsWith("/") ? { ...common, kind: "folder" } : { ...common, kind, size };
  if (kind === "hard-link") return { ...common, kind, target: cleanPath(target) };
  // The engine resolves the target inside of the context, wherever it leads.
  if (target === "" || target.length > MAX_PATH || target.includes("\0")) {
    throw invalidEntry(`${shown(name)} is a symbolic link to a name that cannot be used`);
  }
  return { ...common, kind, target };
}

/**
 * Returns the path at which the engine looks for the Dockerfile, with one character for each byte. Throws a Refusal 400 for a path that leads out of the
 * context.
 */
export function dockerfilePath(given: string): string {
  const parts: string[] = [];
  for (const part of given.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) {
      throw new Refusal("dockerfile.path", `forbidden path outside the build context: ${quoted(given)}`, {
        statusCode: 400,
      });
    }
  }
  const path = Buffer.from(parts.join("/")).toString("latin1");
  if (path !== "" && path.length <= MAX_PATH && !path.includes("\0")) return path;
  throw new Refusal("dockerfile.path", `${quoted(given)} is not the path of a Dockerfile`, { statusCode: 400 });
}

function cleanPath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  const path = parts.join("/");
  if (name.startsWith("/") || parts.includes("..")) throw invalidEntry(`${shown(name)} leads out of the context`);
  if (name.includes("\0")) throw invalidEntry(`${shown(name)} is no name`);
  if (path.length > MAX_PATH || parts.some((part) => part.length > MAX_NAME)) {
    throw invalidEntry(`${shown(name)} is too long`);
  }
  return path;
}

/** Decodes a path that has one character for each byte. */
export function textOfPath(path: string): string {
  return Buffer.from(path, "latin1").toString();
}

/** Quotes a name that has one character for each byte. */
function shown(name: string): string {
  return quoted(textOfPath(name.slice(0, 480)));
}

/** Quotes a name for a message: without control characters, and shortened. */
function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 120));
}
