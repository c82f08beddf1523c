import { connect } from "node:net";

/** Whether a server lives at a socket's path. Only a socket that nobody listens on is dead; one that this user may not use is somebody else's. */
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
