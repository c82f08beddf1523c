import type { Reference } from "../../image/reference.ts";
import type { RemoteProgram } from "../../output/remote-programs.ts";
import type { Bundle } from "./bundle.ts";
import { FOLDERS, HOME_FOLDERS, NODE_PATHS, NVM_NODE } from "./program-folders.ts";
import { MARKER, NO_ACCESS, SKIPPED_STATUS, STARTED_BY_SCRIPT, type FurtherProgram } from "./remote-lines.ts";
import { CONTAINER_SCRIPT } from "./container-script.ts";
import { SENT_NODE_SCRIPT } from "./sent-node-script.ts";
import { blocksOf, evaluatingWords } from "./shell-words.ts";

/**
 * Starts a program that can run the remote side: tries the kinds of program in `$o` in that order, and names each on stdout. Passes over a
 * program that cannot be started or used. The exit status of any other program becomes the script's own.
 *
 * The blocks between empty lines are evaluated one after the other, in any POSIX shell. They are sent as words in single quotes, which no
 * login shell changes, because they contain no single quote, backslash or exclamation mark.
 */
const SCRIPT = `
m="${MARKER}"; s="$DOCKER_OVER_SSH_SUDO"; h="\${DOCKER_OVER_SSH_HOME:-$HOME}"; b=""
j="eval(require(/zlib/.source).brotliDecompressSync(Buffer.from(process.argv[1],/base64/.source))+[])"

pass() {
  echo "$m pass $1 $2"
}

# Ends the script with the status of a program, unless the status shows that the program has not run: 126 and 127 of the shell, 125 of docker
# run, 8 of a docker-over-ssh with another protocol, ${SKIPPED_STATUS} of the bootstrap. An installed version that cannot relay or build does not
# know the word (2).
ended() {
  case $2 in
    ${SKIPPED_STATUS}) ;;
    2) case "$q $3" in
      relay*) ;;
      *" build") $s "$p" build --help </dev/null >/dev/null 2>&1 && exit 2 ;;
      *) exit 2 ;;
    esac; pass $1 "status 2" ;;
    8|125|126|127) pass $1 "status $2" ;;
    *) exit $2 ;;
  esac
}

t_installed() {
  p="$(command -v docker-over-ssh)" || { pass installed "not found"; return; }
  may installed "$p" || return
  echo "$m try installed $p"
  $s "$p" "$@"
  ended installed $? "$1"
}

# sudo may run only some programs without a password.
may() {
  [ -z "$s" ] || $s "$2" --version </dev/null >/dev/null 2>&1 && return
  pass $1 "sudo wants a password for $2"; return 1
}

${NVM_NODE.trim()}

# Returns whether a file has not been tried yet under another name: nodejs may be a link to node. $f contains the inodes.
f=""
is_new() {
  x="$(ls -Li "$1" 2>/dev/null | { read -r x a; echo "$x"; })"
  [ -n "$x" ] || return 0
  case " $f " in
    *" $x "*) return 1 ;;
  esac
  f="$f $x"
}

# Status 1 is that of a failed transfer, and also of a Node that lacks a library or is too old for the bootstrap. A signal may come from a
# processor that lacks an instruction.
run_node() {
  w=$1; p="$2"; shift 2
  is_new "$p" || return
  may $w "$p" || return
  echo "$m try $w $p"
  $s "$p" -e "$j" -- "$b" $d $w "$@"
  e=$?
  [ $e = 1 ] || [ $e -gt 128 ] && { "$p" -e "process.exitCode=+(parseInt(process.versions.node)<20)" 2>/dev/null || e=126; }
  ended $w $e
}

usable() {
  why="no engine at $u"
  [ -S "$u" ] || return
  why="${NO_ACCESS} $u"
  [ -n "$s" ] || { [ -r "$u" ] && [ -w "$u" ]; }
}

# Returns whether docker-over-ssh can reach an engine like docker, or whether only docker can, through a wrapper or as podman. If the engine
# has no socket, docker-over-ssh tries it itself.
api() {
  [ "$q" = install ] && return
  u="$DOCKER_HOST"
  case "$u" in
    unix://*) u="\${u#unix://}"; usable ;;
    "") u=/var/run/docker.sock; usable || { p="$(command -v docker)" && u="$(socket)" && { [ -z "$u" ] || usable; }; } ;;
  esac
}

t_node() {
  api || { pass node "$why"; return; }
  n=0
  for p in ${NODE_PATHS}; do
    [ -x "$p" ] && { n=1; run_node node "$p" "$@"; }
  done
  [ $n = 1 ] || pass node "not found"
}

# Prints the path of the engine socket that docker uses. The socket of Docker Desktop is mounted under its usual name.
socket() {
  u="$DOCKER_HOST"
  [ -n "$u" ] || u="$($s "$p" context inspect --format "{{.Endpoints.docker.Host}}" 2>/dev/null)"
  case "$(uname -s) $u" in
    Darwin*|*" ") echo /var/run/docker.sock ;;
    *" unix://"*) echo "\${u#unix://}" ;;
  esac
}

# The first byte decides between HTTP/1.1 and HTTP/2, so the script gets the API version of the engine from docker (30 ms).
t_engine() {
  p="$(command -v docker)" && { echo "$m engine docker $($s "$p" version --format "{{.Server.APIVersion}}" 2>/dev/null)"; exec $s "$p" system dial-stdio; }
  p="$(command -v podman)" && { echo "$m engine podman"; exec $s "$p" system dial-stdio; }
  pass engine "not found"
}

# Requests the blocks of a program that is seldom reached. With them, the command would be longer than Dropbear accepts.
more() {
  echo "$m more $1"
  y=""
  while read -r x && [ -n "$x" ]; do
    eval "$x"; y=1
  done
  [ -n "$y" ]
}

t_container() {
  command -v docker >/dev/null || { pass container "docker not found"; return; }
  more container && t_container "$@"
}

t_sent() {
  more node-sent && t_sent "$@"
}

# The blocks above precede these words until they are evaluated.
o="$1"; d="$2"; i="$3"; q="$6"
PATH="\${4:+$4:}\${PATH:+$PATH:}\${5:+$5:}${HOME_FOLDERS}"; ${STARTED_BY_SCRIPT}=1
export PATH ${STARTED_BY_SCRIPT}; shift 6
for t in $o; do
  t_\${t#node-} "$@"
done
echo "$m nothing $PATH"; exit 127
`;

/** The input of the script. */
export interface ScriptOptions {
  sudo: boolean;
  /** The kinds of program to try, in this order. */
  programs: readonly RemoteProgram[];
  bundle: Pick<Bundle, "digest" | "size" | "bootstrap">;
  /** The image for a remote side in a container. */
  image: Pick<Reference, "given">;
  /** An option requests a container, or this image. */
  isImageRequested: boolean;
  /** The bootstrap installs docker-over-ssh, and needs no engine. */
  isInstalling?: boolean;
  /** The remote docker-over-ssh passes images on to other hosts. */
  isRelay?: boolean;
  /** Folders that are searched first. */
  paths: readonly string[];
  /** Folders that are searched last. */
  folders?: readonly string[];
  /** The arguments of the remote docker-over-ssh. */
  words: readonly string[];
}

/** Returns the words of a command that runs the script, without the login. */
export function scriptWords(options: ScriptOptions): string[] {
  const { sudo, programs, bundle, image, paths, folders = FOLDERS, words } = options;
  const [first = "", ...blocks] = blocksOf(SCRIPT);
  // csh rejects words of 1024 (4.2BSD) or 4096 (Debian) characters.
  const takesBundle = programs.some((program) => program !== "installed" && program !== "engine");
  const parts = (takesBundle && bundle.bootstrap.match(/.{1,900}/g)) || [];
  const all = [first, ...parts.map((part) => `b="\${b}${part}"`), ...blocks];
  const given = [
    programs.join(" "),
    `${bundle.digest}:${bundle.size}`,
    image.given,
    paths.join(":"),
    folders.join(":"),
    purposeOf(options),
    ...words,
  ];
  return evaluatingWords(all, given, { sudo });
}

function purposeOf({ isInstalling, isRelay, isImageRequested }: ScriptOptions): string {
  if (isInstalling) return "install";
  if (isRelay) return "relay";
  return isImageRequested ? "asked" : "";
}

/** The further blocks of the script, for programs that are seldom reached. */
const FURTHER: Record<FurtherProgram, string> = { container: CONTAINER_SCRIPT, "node-sent": SENT_NODE_SCRIPT };

/** Returns the blocks that the script requests: each on a line, and an empty line. */
export function furtherBlocks(program: FurtherProgram): string {
  return `${blocksOf(FURTHER[program]).join("\n")}\n\n`;
}
