import { sshLogin } from "../engine/connect/ssh-command.ts";
import type { SshConnection } from "../request.ts";

/** ssh gives up after 4 unanswered keep-alives, 5 s apart: 20 s, as a tunnel does. */
const ALIVE = ["ServerAliveInterval=5", "ServerAliveCountMax=4"];

/** Begins the line in which the script names the program that it has found. */
const MARKER = "#docker-over-ssh#remote#";

/** A program that can be the remote side. */
export type RemoteProgram = "docker-over-ssh" | "docker" | "podman";

/**
 * A script that finds a program that can be the remote side, and becomes it. Any login shell passes the script on to `sh` unchanged: it has no
 * single quote, backslash, line feed or exclamation mark. `$s` is sudo or nothing, the other arguments are docker-over-ssh's. The script
 * asks docker for the engine's API version (30 ms), because the first byte decides between HTTP/1.1 and HTTP/2.
 */
const SCRIPT = [
  `s="$1"; shift`,
  `m="${MARKER}"`,
  `p="$(command -v docker-over-ssh)" && { echo "$m docker-over-ssh"; exec $s "$p" "$@"; }`,
  `v="{{.Server.APIVersion}}"`,
  `p="$(command -v docker)" && { echo "$m docker $($s "$p" version --format "$v" 2>/dev/null)"; exec $s "$p" system dial-stdio; }`,
  `p="$(command -v podman)" && { echo "$m podman"; exec $s "$p" system dial-stdio; }`,
  `echo "$m nothing $PATH"`,
  `exit 127`,
].join("; ");

/**
 * Returns the ssh command that runs the script on the host.
 *
 * @param words arguments of docker-over-ssh there
 */
export function sshCommand({ address, sudo }: SshConnection, words: readonly string[]): string[] {
  const remote = ["sh", "-c", quote(SCRIPT), "sh", quote(sudo ? "sudo -n" : ""), ...words.map(quote)];
  // ssh joins the words with spaces, and the login shell there interprets the line.
  return ["ssh", ...sshLogin(address, ALIVE), ...remote];
}

/** Quotes a word for sh, csh and fish, which agree on single quotes around text without special characters of any of them. */
function quote(word: string): string {
  if (/['\\\n!]/.test(word)) throw new Error(`cannot be quoted for every shell: ${word}`);
  return `'${word}'`;
}

/** Finds the marker line in the text that has come so far; undefined until it is complete. */
export function findMarker(text: string): { start: number; end: number; words: string } | undefined {
  const start = text.indexOf(`${MARKER} `);
  const end = start === -1 ? -1 : text.indexOf("\n", start);
  if (end === -1) return undefined;
  return { start, end: end + 1, words: text.slice(start + MARKER.length + 1, end).trim() };
}
