import type { Reference } from "../image/reference.ts";
import type { RemoteProgram } from "../request.ts";
import type { Bundle } from "./bundle.ts";
import { FOLDERS, HOME_FOLDERS, NODE_PATHS, NVM_NODE } from "./program-folders.ts";
import { MARKER, PASSED_OVER } from "./remote-lines.ts";
import { blocksOf, evaluatingWords } from "./shell-words.ts";
import { SENT_NODE_SCRIPT } from "./sent-node-script.ts";

/** The volume with the cache folder of remote sides in containers; the label of the volume and of the containers. */
export const CACHE_VOLUME = "docker-over-ssh-cache";
export const REMOTE_LABEL = "docker-over-ssh.remote";

/** s for an image to be pulled there. Some 55 MB take 44 s at 10 Mbit/s. */
const PULL_LIMIT = 120;

/**
 * Starts a program that can run the remote side: tries the kinds of program in `$o` in that order, and names each on stdout. A program that
 * cannot be started, or does not suit, is passed over; the exit status of any other is the script's own.
 *
 * The blocks between empty lines are evaluated one after the other, in any POSIX shell. They get there as words in single quotes,
 * which no login shell changes: there is no single quote, backslash or exclamation mark in them.
 */
const SCRIPT = `
m="${MARKER}"; s="$DOCKER_OVER_SSH_SUDO"; h="\${DOCKER_OVER_SSH_HOME:-$HOME}"; b=""
j="eval(require(/zlib/.source).gunzipSync(Buffer.from(process.argv[1],/base64/.source))+[])"

pass() {
  echo "$m pass $1 $2"
}

# Ends the script with the status of a program, unless that tells that the program has not run: 126 and 127 are the shell's,
# 125 is docker run's, 8 is that of a docker-over-ssh with another protocol, and ${PASSED_OVER} the bootstrap's.
ended() {
  case $2 in
    ${PASSED_OVER}) ;;
    8|125|126|127) pass $1 "status $2" ;;
    *) exit $2 ;;
  esac
}

t_installed() {
  p="$(command -v docker-over-ssh)" || { pass installed "not found"; return; }
  may installed "$p" || return
  echo "$m try installed $p"
  $s "$p" "$@"
  ended installed $?
}

# sudo may run only some programs without a password.
may() {
  [ -z "$s" ] || $s "$2" --version </dev/null >/dev/null 2>&1 && return
  pass $1 "sudo wants a password for $2"; return 1
}

${NVM_NODE.trim()}

# Whether a file has not been tried yet, by another name: nodejs may be a link to node. $f has the inodes.
f=""
is_new() {
  x="$(ls -Li "$1" 2>/dev/null | { read -r x a; echo "$x"; })"
  [ -n "$x" ] || return 0
  case " $f " in
    *" $x "*) return 1 ;;
  esac
  f="$f $x"
}

# Status 1 is a failed transfer's, and that of a Node that lacks a library.
run_node() {
  w=$1; p="$2"; shift 2
  is_new "$p" || return
  may $w "$p" || return
  echo "$m try $w $p"
  $s "$p" -e "$j" -- "$b" $d $w "$@"
  e=$?
  [ $e = 1 ] && { "$p" -e 0 2>/dev/null || e=126; }
  ended $w $e
}

# Whether a program finds an engine there. Podman alone has none for it, unless it serves the socket of Docker.
api() {
  [ -n "$DOCKER_HOST" ] || [ -S /var/run/docker.sock ] || [ -z "$(command -v podman)" ] && return
  p="$(command -v docker)" && u="$(socket)" && [ -S "$u" ]
}

t_node() {
  api || { pass node "podman alone"; return; }
  n=0
  for p in ${NODE_PATHS}; do
    [ -x "$p" ] && { n=1; run_node node "$p" "$@"; }
  done
  [ $n = 1 ] || pass node "not found"
}

# The path of the engine socket that docker uses. Docker Desktop's own is mounted by its usual name.
socket() {
  u="$DOCKER_HOST"
  [ -n "$u" ] || u="$($s "$p" context inspect --format "{{.Endpoints.docker.Host}}" 2>/dev/null)"
  case "$(uname -s) $u" in
    Darwin*|*" ") echo /var/run/docker.sock ;;
    *" unix://"*) echo "\${u#unix://}" ;;
  esac
}

# The image has to be there, for the platform of the engine. Otherwise it is pulled, or the initiator sends it.
has_image() {
  a="$($s "$p" image inspect --format "{{.Os}}/{{.Architecture}}" "$i" 2>/dev/null)"
  [ "$a" = "$v" ]
}

# A host without the internet must not wait for it each time: unless the image was asked for, a day passes between two attempts.
# The folder may be the work of another user: no FIFO is opened there, and no link is followed to a file to write (set -C).
may_pull() {
  c="\${XDG_CACHE_HOME:-$HOME/.cache}/docker-over-ssh/pull-failed"
  [ "$q" = asked ] && return
  [ -f "$c" ] || return 0
  [ "$(cat "$c" 2>/dev/null)" = "$i" ] && [ -n "$(find "$c" -mtime -1 2>/dev/null)" ] && return 1
  return 0
}

pull_image() {
  echo "$m pull $i"
  l=""; command -v timeout >/dev/null && l="timeout ${PULL_LIMIT}"
  $l $s "$p" pull -q "$i" >/dev/null 2>&1 && has_image && return
  [ -n "$HOME" ] && (umask 077; mkdir -p "\${c%/*}" && rm -f "$c" && set -C && echo "$i" > "$c") 2>/dev/null
  return 1
}

get_image() {
  has_image && return
  may_pull && pull_image && return
  echo "$m image $v $i"
  read -r a
  [ "$a" = sent ] && has_image
}

# A docker that is killed before the container starts leaves one that --rm does not remove. Those of the last minutes may be about to start.
# Not by prune: Docker 1.13 ignores its filters, and removes all that do not run.
tidy_engine() {
  $s "$p" ps -a --filter label=${REMOTE_LABEL} --filter status=created --filter status=exited --format "{{.ID}} {{.RunningFor}}" </dev/null 2>/dev/null | while read -r a e; do
    case "$e" in
      [1-9][0-9]" minutes"*|*hour*|*day*|*week*|*month*|*year*) $s "$p" rm "$a" </dev/null >/dev/null 2>&1 ;;
    esac
  done
}

# Without a log driver: an engine keeps a log of what a container writes, and this one writes the tunnel.
t_container() {
  p="$(command -v docker)" || { pass container "docker not found"; return; }
  v="$($s "$p" version --format "{{.Server.Os}}/{{.Server.Arch}}" 2>/dev/null)"
  [ -n "$v" ] || { pass container "no engine"; return; }
  u="$(socket)"
  [ -n "$u" ] || { pass container "no socket"; return; }
  get_image || { pass container "no image"; return; }
  tidy_engine
  echo "$m try container $i"
  $s "$p" run -i --rm --log-driver none --network host --pid host --userns host --security-opt label=disable --user 0:0 --label ${REMOTE_LABEL}=true --mount type=volume,src=${CACHE_VOLUME},dst=/cache,volume-label=${REMOTE_LABEL}=true --mount "type=bind,src=$u,dst=/var/run/docker.sock" -e XDG_CACHE_HOME=/cache --entrypoint node "$i" -e "$j" -- "$b" $d container "$@"
  ended container $?
}

# The first byte decides between HTTP/1.1 and HTTP/2, so docker is asked for the engine's API version (30 ms).
t_engine() {
  p="$(command -v docker)" && { echo "$m engine docker $($s "$p" version --format "{{.Server.APIVersion}}" 2>/dev/null)"; exec $s "$p" system dial-stdio; }
  p="$(command -v podman)" && { echo "$m engine podman"; exec $s "$p" system dial-stdio; }
  pass engine "not found"
}

# The blocks above stand in front of these words until they are evaluated.
o="$1"; d="$2"; i="$3"; q="$6"
PATH="\${4:+$4:}\${PATH:+$PATH:}\${5:+$5:}${HOME_FOLDERS}"
export PATH; shift 6
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
  /** An option asks for a container, or for this image. */
  isImageAsked: boolean;
  /** Folders to look into first. */
  paths: readonly string[];
  /** Folders to look into last. */
  folders?: readonly string[];
  /** The arguments of docker-over-ssh there. */
  words: readonly string[];
}

/** Returns the words of a command that runs the script, without the login. */
export function scriptWords(options: ScriptOptions): string[] {
  const { sudo, programs, bundle, image, isImageAsked, paths, folders = FOLDERS, words } = options;
  const [first = "", ...blocks] = blocksOf(SCRIPT);
  const sentNode = programs.includes("node-sent") ? blocksOf(SENT_NODE_SCRIPT) : [];
  // csh refuses words of 1024 (4.2BSD) or 4096 (Debian) characters.
  const parts = bundle.bootstrap.match(/.{1,900}/g) ?? [];
  const all = [first, ...parts.map((part) => `b="\${b}${part}"`), ...sentNode, ...blocks];
  const given = [
    programs.join(" "),
    `${bundle.digest}:${bundle.size}`,
    image.given,
    paths.join(":"),
    folders.join(":"),
    isImageAsked ? "asked" : "",
    ...words,
  ];
  return evaluatingWords(all, given, { sudo });
}
