import { once } from "node:events";
import { lstat, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { Failure } from "docker-over-ssh/builds";
import { isAnswered } from "../../files/is-answered.ts";

/** Leaves the owner and the group the right to connect: mode 0660 */
const UMASK = 0o117;

/**
 * Makes a server listen on a socket that its user and group may use. Replaces the socket of a dead server. Closing the
 * server removes the socket.
 *
 * @throws Failure `usage` if a live server uses the path, or it is not a socket
 */
export async function bindUnixSocket(server: Server, path: string): Promise<void> {
  await removeLeftover(path);
  // Node binds before `listen` returns. With a mode set afterwards, others could connect for a moment.
  const before = process.umask(UMASK);
  try {
    server.listen({ path });
  } finally {
    process.umask(before);
  }
  await once(server, "listening"); // rejects if an error is emitted instead
}

async function removeLeftover(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new Failure("usage", `cannot listen on ${path}: it exists and is not a socket`, {
      hint: "Name another path with --listen.",
    });
  }
  if (await isAnswered(path)) {
    throw new Failure("usage", `cannot listen on ${path}: another server listens there`, {
      hint: "Stop it, or name another path with --listen.",
    });
  }
  await rm(path, { force: true });
}
