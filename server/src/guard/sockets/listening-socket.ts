import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { lstatSync, renameSync, rmdirSync, unlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { Failure } from "docker-over-ssh/builds";
import { isAnswered } from "../../files/is-answered.ts";
import type { OpenFolder } from "./folder.ts";

/** A listening socket. */
export interface ListeningSocket {
  /** Whether its name still leads to it */
  isInPlace(): boolean;
  /** Accepts no more connections, and removes its name if that still leads to it. Open connections stay. */
  close(): void;
}

/** Connections that the kernel queues until they are accepted. Engines use the same number */
const BACKLOG = 511;

/**
 * Listens on a socket in a folder, and replaces a file of the same name. Binds the socket to a temporary name and
 * renames it. Therefore the name always leads to a socket, and a link in its place is never followed. libuv, which
 * removes the name that it has bound, never removes another user's file.
 *
 * @param umask removed from mode 0777 of the socket
 */
export async function listenIn(
  folder: OpenFolder,
  name: string,
  umask: number,
  onConnection: (connection: Socket) => void,
): Promise<ListeningSocket> {
  const server = createServer({ allowHalfOpen: true }, onConnection);
  const first = folder.at(`.${name}-${randomBytes(6).toString("hex")}`);
  const listening = once(server, "listening");
  const before = process.umask(umask);
  try {
    server.listen({ path: first, backlog: BACKLOG });
  } finally {
    process.umask(before);
  }
  await listening; // rejects if an error is emitted instead
  server.on("error", () => {}); // errors of accept(2) when descriptors run out: connections wait in the backlog until some are free
  try {
    return take(server, folder, first, folder.at(name));
  } catch (error) {
    server.close();
    throw error;
  }
}

function take(server: Server, folder: OpenFolder, first: string, place: string): ListeningSocket {
  const { dev, ino } = lstatSync(first);
  removeEmptyFolder(place);
  renameSync(first, place);
  const isInPlace = (): boolean => {
    const found = lstatSync(place, { throwIfNoEntry: false });
    return found?.isSocket() === true && found.dev === dev && found.ino === ino;
  };
  if (!isInPlace()) throw new Error("it was replaced while the guard created it");
  return {
    isInPlace: () => folder.isInPlace() && isInPlace(),
    close() {
      if (isInPlace()) unlinkSync(place);
      server.close();
    },
  };
}

/** Engines create an empty folder if the source of a bind mount does not exist yet. */
function removeEmptyFolder(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true) rmdirSync(path);
}

/**
 * Checks that the name does not exist in an operator's folder, except as the socket of a dead server.
 *
 * @param path for the message
 * @throws Failure `usage`
 */
export async function refuseOthers(folder: OpenFolder, name: string, path: string): Promise<void> {
  const found = lstatSync(folder.at(name), { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new Failure("usage", `cannot listen on ${path}: it exists and is not a socket`, {
      hint: "Remove it, or name another path.",
    });
  }
  if (await isAnswered(folder.at(name))) {
    throw new Failure("usage", `cannot listen on ${path}: another server listens there`, {
      hint: "Stop it, or name another path.",
    });
  }
}
