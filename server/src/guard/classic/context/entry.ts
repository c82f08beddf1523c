import type { Header } from "tar-stream";
import { Refusal } from "../../refusal.ts";

/** An entry of a context, checked: its names have one meaning. */
export interface Entry {
  /** Without a slash at either end; "" is the context itself */
  path: string;
  type: "file" | "directory" | "symlink" | "link";
  /** Of a link: of a hard one, a path as `path` */
  target: string;
  header: Header;
}

/** Bytes of a path that Linux takes */
const MAX_PATH = 4095;
/** Bytes of a name in it */
const MAX_NAME = 255;
const TYPES: Readonly<Record<string, Entry["type"]>> = {
  file: "file",
  "contiguous-file": "file",
  directory: "directory",
  symlink: "symlink",
  link: "link",
};

/** Checks an entry. Throws a Refusal 400 `context.entry` for a device, a FIFO, and names that lead out of the context. */
export function checkEntry(header: Header): Entry {
  const type = TYPES[header.type ?? "file"];
  const path = cleanPath(header.name);
  if (type === undefined) {
    throw invalid(`${shown(header.name)} is neither a file, a folder nor a link: leave it out with .dockerignore`);
  }
  const given = header.linkname ?? "";
  if (type !== "symlink") return { path, type, target: type === "link" ? cleanPath(given) : "", header };
  // The engine resolves it inside of the context, wherever it leads.
  if (given === "" || Buffer.byteLength(given) > MAX_PATH || /[\0\uFFFD]/.test(given)) {
    throw invalid(`${shown(header.name)} is a symbolic link to a name that cannot be used`);
  }
  return { path, type, target: given, header };
}

/** The path of the Dockerfile, as the engine looks for it. Throws a Refusal 400 for one that leads out of the context. */
export function dockerfilePath(given: string): string {
  const parts: string[] = [];
  for (const part of given.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) {
      throw new Refusal("dockerfile.path", `forbidden path outside the build context: ${shown(given)}`, {
        statusCode: 400,
      });
    }
  }
  if (parts.length > 0 && !/[\0\uFFFD]/.test(given)) return parts.join("/");
  throw new Refusal("dockerfile.path", `${shown(given)} is not the path of a Dockerfile`, { statusCode: 400 });
}

function cleanPath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  const path = parts.join("/");
  if (name.startsWith("/") || parts.includes("..")) throw invalid(`${shown(name)} leads out of the context`);
  // tar-stream has put U+FFFD in place of bytes that are no UTF-8.
  if (/[\0\uFFFD]/.test(name)) throw invalid(`${shown(name)} is not UTF-8`);
  if (Buffer.byteLength(path) > MAX_PATH || parts.some((part) => Buffer.byteLength(part) > MAX_NAME)) {
    throw invalid(`${shown(name)} is too long`);
  }
  return path;
}

/** Without control characters, and not too long for a message */
function shown(name: string): string {
  return JSON.stringify(name.slice(0, 120));
}

function invalid(message: string): Refusal {
  return new Refusal("context.entry", `the context has an entry that is not allowed: ${message}`, { statusCode: 400 });
}
