/** Scripts as the words of a command that reaches a POSIX shell through any login shell. */

/** The prompt for sudo's password, on stderr. */
export const SUDO_PROMPT = "#docker-over-ssh#password#";

/**
 * Runs with sudo what follows, in root's home folder (-H: some keep that of the user, where root must not create a cache folder), and tells it
 * the home of the user who has logged in. Where sudo allows docker without a password, and not everything, only programs are run with it.
 * Otherwise it asks for the password on stderr.
 */
const WITH_SUDO = `
if sudo -n true 2>/dev/null; then
  exec sudo -n -H env "DOCKER_OVER_SSH_HOME=$HOME" "$@"
fi
if sudo -n -l 2>/dev/null | grep -qxE ".*NOPASSWD:.*/(docker|podman|docker-over-ssh)([ ,].*)?"; then
  DOCKER_OVER_SSH_SUDO="sudo -n -H" exec "$@"
fi
exec sudo -S -H -p "${SUDO_PROMPT}" env "DOCKER_OVER_SSH_HOME=$HOME" "$@"
`;

/** Evaluates as many words as the first one tells, and leaves the others to them. */
const EVALUATE = `
n=$1; shift
while [ $n -gt 0 ]; do
  x="$1"; shift; n=$((n-1)); eval "$x"
done
`;

/**
 * Returns the words of a command that evaluates these blocks one after the other, in any POSIX shell; `given` are its parameters. They get
 * there as words in single quotes, which no login shell changes: there must be no single quote, backslash or exclamation mark in them.
 */
export function evaluatingWords(
  blocks: readonly string[],
  given: readonly string[],
  { sudo }: { sudo: boolean },
): string[] {
  return [
    ...(sudo ? ["/bin/sh", "-c", joined(WITH_SUDO), "sh"] : []),
    "/bin/sh",
    "-c",
    joined(EVALUATE),
    "sh",
    String(blocks.length),
    ...blocks,
    ...given,
  ];
}

/** Splits a script into its blocks, which empty lines separate, of one line each. */
export function blocksOf(script: string): string[] {
  return script.trim().split("\n\n").map(joined);
}

/** Makes one line of a block: removes comments, and joins the lines with semicolons where the shell's grammar wants one. */
function joined(block: string): string {
  const lines = block
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line, index) => (index === lines.length - 1 || OPEN.test(line) ? line : `${line};`)).join(" ");
}

/** The end of a line that another line continues. */
const OPEN = /(?:^|[\s;])(?:do|then|else|\{|in|;;)$/;

/**
 * Returns a word in quotes that sh, csh and fish read alike: single quotes around text without any special character of theirs.
 *
 * @throws Error for other text
 */
export function quote(word: string): string {
  if (/['\\\n!]/.test(word)) throw new Error(`cannot be quoted for every shell: ${word}`);
  return `'${word}'`;
}
