import { sshLogin } from "../engine/connect/ssh-command.ts";
import type { SshConnection } from "../request.ts";

/** s between two questions of ssh whether the far machine is there, and how many may go unanswered: 20 s, as a tunnel's own. */
const ALIVE = ["ServerAliveInterval=5", "ServerAliveCountMax=4"];

/** What this side says about which program it found over there, in a line of its own. */
const MARK = "#docker-over-ssh#far#";

/** What is at the far end of the connection. */
export type RemoteProgram = "docker-over-ssh" | "docker" | "podman";

/**
 * Runs what is there and can be the other side. Any login shell passes it on to `sh` as it is: it has no quotes of its
 * kind, no backslash, no line feed and no exclamation mark. `$s` is sudo or nothing, the rest are docker-over-ssh's arguments.
 * Docker is asked for the engine's API version (30 ms), because the first byte decides whether it is spoken to in HTTP/2.
 */
const SCRIPT = [
  `s="$1"; shift`,
  `m="${MARK}"`,
  `p="$(command -v docker-over-ssh)" && { echo "$m docker-over-ssh"; exec $s "$p" "$@"; }`,
  `v="{{.Server.APIVersion}}"`,
  `p="$(command -v docker)" && { echo "$m docker $($s "$p" version --format "$v" 2>/dev/null)"; exec $s "$p" system dial-stdio; }`,
  `p="$(command -v podman)" && { echo "$m podman"; exec $s "$p" system dial-stdio; }`,
  `echo "$m nothing $PATH"`,
  `exit 127`,
].join("; ");

/**
 * The command that makes the one connection.
 *
 * @param words what docker-over-ssh is run with over there
 */
export function sshCommand({ address, sudo }: SshConnection, words: readonly string[]): string[] {
  const far = ["sh", "-c", quote(SCRIPT), "sh", quote(sudo ? "sudo -n" : ""), ...words.map(quote)];
  // ssh joins them with spaces and gives the line to the login shell over there.
  return ["ssh", ...sshLogin(address, ALIVE), ...far];
}

/** For sh, csh and fish alike, which agree on single quotes as long as there is nothing within that one of them knows. */
function quote(word: string): string {
  if (/['\\\n!]/.test(word)) throw new Error(`cannot be quoted for every shell: ${word}`);
  return `'${word}'`;
}

/** The line that says what was found: `text` is what has come so far. Undefined until all of it is there. */
export function findMark(text: string): { start: number; end: number; words: string } | undefined {
  const start = text.indexOf(`${MARK} `);
  const end = start === -1 ? -1 : text.indexOf("\n", start);
  if (end === -1) return undefined;
  return { start, end: end + 1, words: text.slice(start + MARK.length + 1, end).trim() };
}
