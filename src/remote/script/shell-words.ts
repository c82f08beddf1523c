/** Scripts as the words of a command that reaches a POSIX shell through any login shell. */

/** The prompt for sudo's password, on stderr. */
export const SUDO_PROMPT = "#docker-over-ssh#password#";

/**
 * Runs the words that follow with sudo and root's home folder, and passes them the home folder of the user who has logged in. -H is needed
 * because some versions of sudo keep the home folder of the user, where root must not create a cache folder. If sudo allows docker without
 * a password, but not everything, the script runs only programs with sudo. Otherwise sudo asks for the password on stderr.
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

/** Evaluates the number of words that the first word states. The remaining words are their parameters. */
const EVALUATE = `
n=$1; shift
while [ $n -gt 0 ]; do
  x="$1"; shift; n=$((n-1)); eval "$x"
done
`;

/**
 * Returns the words of a command that evaluates these blocks one after the other, in any POSIX shell; `given` are its parameters. The
 * blocks are sent as words in single quotes, which no login shell changes, so they must not contain a single quote, backslash or
 * exclamation mark.
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

/** Splits a script into its blocks, which empty lines separate, and joins each block into one line. */
export function blocksOf(script: string): string[] {
  return script.trim().split("\n\n").map(joined);
}

/** Joins a block into one line: removes comments, and inserts semicolons where the shell's grammar requires them. */
function joined(block: string): string {
  const lines = block
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line, index) => (index === lines.length - 1 || OPEN.test(line) ? line : `${line};`)).join(" ");
}

/** The end of a line that the next line continues. */
const OPEN = /(?:^|[\s;])(?:do|then|else|\{|in|;;)$/;

/**
 * Quotes a word for sh, csh and fish: puts single quotes around a text without special characters of these shells.
 *
 * @throws Error if the text contains such a character
 */
export function quote(word: string): string {
  if (/['\\\n!]/.test(word)) throw new Error(`cannot be quoted for every shell: ${word}`);
  return `'${word}'`;
}
