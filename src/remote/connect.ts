import { Failure } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import type { Role } from "../stdio-tunnel/handshake.ts";
import { connectByCommand, type Context, type Connect } from "../transfer.ts";
import type { RemoteRequest } from "./engine-only-transfer.ts";
import { sshLocation } from "./ssh-location.ts";
import { namesEngine } from "./command-kind.ts";

/**
 * The way to the other side, by what the command line names:
 * - `… system dial-stdio`: an engine. Both sides of the transfer are in this process;
 * - `ssh://[user@]host[:port]`: docker-over-ssh if it is installed there, else the engine;
 * - any other command: docker-over-ssh.
 *
 * What only one of them needs is imported there: the command is started 15 ms earlier.
 */
export async function chooseConnection(role: Role, request: RemoteRequest, context: Context): Promise<Connect> {
  const location = sshLocation(request.command);
  if (location !== undefined) {
    const { connectOverSsh } = await import("./connect-ssh.ts");
    return connectOverSsh(location, role, request, context);
  }
  if (request.sudo) {
    throw new Failure("usage", "--sudo is for ssh://HOST, and a command is passed on untouched", {
      expected: "ssh://[USER@]HOST[:PORT] behind the image",
      hint: 'Put sudo into the command: ssh HOST "sudo docker system dial-stdio"',
    });
  }
  const words = shownCommand(request.command);
  if (!namesEngine(request.command)) return connectByCommand(role, request, context);
  const [{ connectToEngineOnly }, { runRemoteCommand }] = await Promise.all([
    import("./engine-only-transfer.ts"),
    import("./remote-command.ts"),
  ]);
  const start = () => runRemoteCommand(request.command, { words, byHand: words }, request, context);
  return connectToEngineOnly(role, request, context, () => ({
    address: { host: `\`${words}\``, source: "over its stdin and stdout" },
    link: start(),
    again: start,
  }));
}
