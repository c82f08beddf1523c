import { Failure } from "../output/errors.ts";
import type { RemoteBatch } from "../request.ts";

/** Throws a `usage` Failure for --json if stdout is the tunnel or the image. */
export function refuseUsedStdout({ connection, transfers: [request] }: RemoteBatch): void {
  if (connection.kind === "spawned") {
    throw new Failure("usage", "--json cannot print events, because stdout is the tunnel", {
      expected: "--json on the side that a person or a program starts",
      hint: "Omit --json from the remote command: its events reach the side that starts it.",
    });
  }
  const target = request.role === "receiver" ? request.target : connection.kind === "location" && connection.location;
  if (target && target.kind !== "docker-daemon" && target.path === "-") {
    throw new Failure("usage", `--json and --to ${target.given} both write to stdout`, {
      expected: "one of them",
      hint: "Write the archive to a file or a pipe, or omit --json.",
    });
  }
}
