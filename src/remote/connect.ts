import { Failure } from "../output/errors.ts";
import { shownCommand } from "../output/secrets.ts";
import type { Role } from "../stdio-tunnel/handshake.ts";
import { wayByCommand, type Surroundings, type Way } from "../transfer.ts";
import type { FarRequest } from "./engine-only-transfer.ts";
import { placeOf } from "./ssh-location.ts";
import { leadsToEngine } from "./command-kind.ts";

/**
 * The way to the other side, by what the command line names:
 * - `… system dial-stdio`: an engine. Both sides of the transfer are in this process;
 * - `ssh://[user@]host[:port]`: docker-over-ssh if it is installed there, else the engine;
 * - any other command: docker-over-ssh.
 *
 * What only one of them needs is imported there: the command is started 15 ms earlier.
 */
export async function wayToFar(role: Role, request: FarRequest, around: Surroundings): Promise<Way> {
  const place = placeOf(request.command);
  if (place !== undefined) {
    const { wayToPlace } = await import("./connect-ssh.ts");
    return wayToPlace(place, role, request, around);
  }
  if (request.sudo) {
    throw new Failure("usage", "--sudo is for ssh://HOST, and a command is passed on untouched", {
      expected: "ssh://[USER@]HOST[:PORT] behind the image",
      hint: 'Put sudo into the command: ssh HOST "sudo docker system dial-stdio"',
    });
  }
  const words = shownCommand(request.command);
  if (!leadsToEngine(request.command)) return wayByCommand(role, request, around);
  const [{ throughEngine }, { runFar }] = await Promise.all([import("./engine-only-transfer.ts"), import("./remote-command.ts")]);
  const start = () => runFar(request.command, { words, byHand: words }, request, around);
  return throughEngine(role, request, around, () => ({
    address: { host: `\`${words}\``, source: "over its stdin and stdout" },
    link: start(),
    again: start,
  }));
}
