import { connect } from "node:net";

/**
 * Returns whether a server listens at a socket's path. A socket is dead only if nobody listens on it; a socket that
 * this user may not use belongs to somebody else.
 */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}
