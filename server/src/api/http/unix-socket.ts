import { once } from "node:events";
import { lstat, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { Failure } from "docker-over-ssh/builds";
import { isAnswered } from "../../net/is-answered.ts";

/** All but the owner's and the group's rights to connect: mode 0660 */
const UMASK = 0o117;

/**
 * Has a server listen on a socket that its user and group may use. A socket that a dead server has left is replaced. Closing the server removes it.
 *
 * @throws Failure `usage` when a server lives at it, or something else is there
 */
export async function bindUnixSocket(server: Server, path: string): Promise<void> {
  await removeLeftover(path);
  // Node binds before `listen` returns: nobody else can connect for a moment, as with a mode that is set afterwards.
  const before = process.umask(UMASK);
  try {
    server.listen({ path });
  } finally {
    process.umask(before);
  }
  await once(server, "listening"); // rejects with an error that comes instead
}

async function removeLeftover(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new Failure("usage", `cannot listen on ${path}: there is something else, which is no socket`, {
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
