import { tryByHand } from "../engine/connect/ssh-command.ts";
import { engineSpeaksHttp2 } from "../engine/buildkit/connect-grpc.ts";
import type { Role } from "../stdio-tunnel/handshake.ts";
import { overTunnel } from "../stdio-tunnel/open.ts";
import { readUntil } from "../streams/read-until.ts";
import { tunnelFor, type Surroundings, type Way } from "../transfer.ts";
import { nameThere, throughEngine, type FarRequest } from "./engine-only-transfer.ts";
import { noEngine, noTunnel, nothingThere } from "./remote-errors.ts";
import { firstWord, runFar, type FarLink } from "./remote-command.ts";
import { findMark, sshCommand, type FarProgram, type SshPlace } from "./ssh-location.ts";

/** Bytes that a login shell may print before it runs what it is told to. */
const MAX_NOISE = 64 * 1024;

/** One ssh, whatever is found at its end. */
export function wayToPlace(place: SshPlace, role: Role, request: FarRequest, around: Surroundings): Way {
  const { output } = around;
  const named = { words: place.name, byHand: tryByHand(place.address) };
  const command = sshCommand(place, farWords(role, request), request.sudo === true);
  const start = (): FarLink => runFar(command, named, request, around);
  return async (use, out) => {
    await using link = start();
    const { program, apiVersion } = await whatIsThere(link, place, request, { output, signal: out.signal });
    if (program === "docker-over-ssh") {
      output.detail(`far end: docker-over-ssh on ${place.name}`);
      const { far } = link;
      try {
        return await overTunnel({ ...tunnelFor(role, request, around, out), far }, async (tunnel, stop) => {
          await use(tunnel, stop, tunnel);
        });
      } catch (error) {
        throw noTunnel(link, error);
      }
    }
    const source = `${program} system dial-stdio`;
    output.note(`far end: ${source} (docker-over-ssh is not installed on ${place.address.hostname})`);
    const address = { host: place.name, source };
    // A command that is run once more finds the same, and says so: its words are passed over as noise.
    const speaksHttp2 = apiVersion !== undefined && engineSpeaksHttp2(apiVersion);
    await throughEngine(role, request, around, () => ({ address, link, again: start, speaksHttp2 }))(use, out);
  };
}

/** What docker-over-ssh is run with over there. The platform, if any, it hears through the tunnel. */
function farWords(role: Role, request: FarRequest): string[] {
  const { timeout } = request;
  const patience = timeout === undefined ? [] : ["--timeout", String(timeout / 1000)];
  return [role === "sender" ? "pull" : "push", ...patience, nameThere(role, request)];
}

/** What the script has become, and of a Docker the API version of its engine, where that says it. */
interface Found {
  program: FarProgram;
  apiVersion?: string | undefined;
}

/** Reads the line in which the script says which program it has found and become. */
async function whatIsThere(
  link: FarLink,
  { name }: SshPlace,
  request: FarRequest,
  { output, signal }: Pick<Surroundings, "output" | "signal">,
): Promise<Found> {
  const read = async (stop: AbortSignal) =>
    await readUntil(link.far.stdout, findMark, { max: MAX_NOISE, signal: stop });
  const { found, before } = await firstWord(link, request, signal, read);
  if (found === undefined) throw noEngine(link, await link.far.exit(), before);
  if (before.trim() !== "") output.detail(`before the far end began, it printed: ${before.trim().slice(0, 4096)}`);
  const [program = "", ...words] = found.words.split(" ");
  if (program === "docker") return { program, apiVersion: words[0] };
  if (program === "docker-over-ssh" || program === "podman") return { program };
  throw nothingThere(name, words.join(" "));
}
