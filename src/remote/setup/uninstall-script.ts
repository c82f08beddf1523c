import type { HostConnection } from "../../request.ts";
import { REMOTE_LABEL, RUN_LABEL, TEMPORARY_PATH } from "../../run/run-id.ts";
import { FOLDERS, HOME_FOLDERS } from "../script/program-folders.ts";
import { MARKER } from "../script/remote-lines.ts";
import { blocksOf, evaluatingWords } from "../script/shell-words.ts";
import { BIN_FOLDER, LAUNCHER_MARK, NAME, SHARE_FOLDER } from "./launcher.ts";

/**
 * Removes the files and leftovers of docker-over-ssh from a host, and names each on stdout. It is a shell script, because a host on which
 * everything ran in containers has no Node. Its blocks follow the rules of remote-script.ts; `$n` is already used. `$x` is the launcher's
 * second line, `$l` the state of a transfer.
 */
const SCRIPT = `
m="${MARKER}"; s="$DOCKER_OVER_SSH_SUDO"; h="\${DOCKER_OVER_SSH_HOME:-$HOME}"

[ -n "$h" ] || h="$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)"

removed() {
  echo "$m step $o $*"
}

# Runs a command that removes something, unless this is a dry run.
remove() {
  [ $o = would-remove ] || "$@"
}

# Reports the KiB of a folder before it is removed.
size() {
  du -sk "$1" 2>/dev/null | { read -r z x && echo "$m freed $z"; }
}

left() {
  echo "$m step left $*"
}

hash() {
  { sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } 2>/dev/null | cut -c1-8
}

# Prefixes of the run IDs of this machine, and of its containers, which have no machine ID (src/run/run-id.ts).
u="$(uname -n)"; y="$(readlink /proc/self/ns/pid 2>/dev/null)"
k="$(printf %s "2 $u $(cat /etc/machine-id 2>/dev/null) $y" | hash)"
c="$(printf %s "2 $u  $y" | hash)"

runs() {
  [ -d "/proc/$1" ] || kill -0 "$1" 2>/dev/null || ps -p "$1" >/dev/null 2>&1
}

# Finds out whether one of the processes of these run IDs has ended, and if not, whether one runs on this machine.
life() {
  l=none
  for r in $(echo "$1" | tr . " "); do
    echo "$r" | grep -qxE "[0-9a-f]{8}-[0-9]{1,10}-[0-9a-z]{1,8}-[0-9a-f]{8}" || { l=none; return; }
    z="\${r#*-}"; z="\${z%%-*}"
    [ $l = alive ] || l=elsewhere
    case "$r" in
      "$k"-*|"$c"-*) runs "$z" || { l=dead; return; }; l=alive ;;
    esac
  done
}

# Returns whether the transfers that created this are over. Asks the initiator about those of another machine, which may be the initiator itself.
over() {
  life "$3"
  case $l in
    none) return 1 ;;
    dead) return 0 ;;
    alive) left in-use $1 "$2"; return 1 ;;
  esac
  echo "$m ask $3"
  read -r a
  [ "$a" = over ] && return
  left elsewhere $1 "$2"; return 1
}

# Returns whether setup has written a launcher.
ours() {
  x=""
  [ -L "$1" ] && return 1
  { read -r x; read -r x; } < "$1"
  case "$x" in "${LAUNCHER_MARK}"*) return 0 ;; esac
  return 1
}

launcher() {
  f="$h/${BIN_FOLDER}/${NAME}"
  [ -L "$f" ] || [ -f "$f" ] || return 0
  ours "$f" || { left foreign launcher "$f"; return; }
  rm -f "$f" && removed launcher "$f" || left not-removable launcher "$f"
  rmdir "\${f%/*}" 2>/dev/null
}

# Prints the process ID in a name; prints nothing if there is none.
process() {
  echo "$1" | grep -xE "[0-9]+"
}

# Removes the launchers that killed setups have not renamed. They are complete or empty.
parts() {
  for f in "$h/${BIN_FOLDER}/${NAME}".*; do
    z="$(process "\${f##*.}")"
    [ -L "$f" ] && continue
    [ -n "$z" ] && [ -f "$f" ] || continue
    [ -s "$f" ] && { ours "$f" || continue; }
    runs "$z" && { left in-use launcher "$f"; continue; }
    rm -f "$f" && removed launcher "$f" || left not-removable launcher "$f"
    rmdir "\${f%/*}" 2>/dev/null
  done
}

# rm follows no link in a folder.
folder() {
  [ -L "$2" ] && { left link $1 "$2"; return; }
  [ -d "$2" ] || return 0
  size "$2"; remove rm -rf "$2" && removed $1 "$2" || left not-removable $1 "$2"
  remove rmdir "\${2%/*}" 2>/dev/null
}

# Returns whether a process runs from a folder or has it open, as each transfer has the cache folder. Reads /proc, which shows root all users.
used() {
  z="$(cd -P "$1" 2>/dev/null && pwd -P)"
  [ -n "$z" ] && ls -l /proc/[0-9]*/fd /proc/[0-9]*/exe /proc/[0-9]*/cwd 2>/dev/null | sed "s,$,/," | grep -qF -e "-> $z/"
}

cache() {
  f="$1/docker-over-ssh"
  for g in "$f"/spool-*; do
    q="\${g##*/spool-}"; q="\${q%-*}"; life "$q"
    [ $l = none ] || over cache "$f" "$q" || return
  done
  used "$f" && { left in-use cache "$f"; return; }
  folder cache "$f"
}

# Removes the folders of killed transfers that could not store Node in the cache folder.
nodes() {
  for f in "$1"/docker-over-ssh-node.*.*; do
    [ -L "$f" ] && continue
    [ -d "$f" ] && [ -O "$f" ] || continue
    z="\${f%.*}"; z="$(process "\${z##*.}")"
    [ -n "$z" ] || continue
    runs "$z" || used "$f" && { left in-use node "$f"; continue; }
    size "$f"; remove rm -rf "$f" && removed node "$f" || left not-removable node "$f"
  done
}

# Containers of transfers run as long as the transfers, and remove themselves.
containers() {
  for i in $($s "$p" ps -aq --filter label=${REMOTE_LABEL}); do
    if [ "$($s "$p" inspect -f "{{.State.Running}}" $i)" = true ]; then
      left in-use container $i
    else
      remove $s "$p" rm -f $i >/dev/null && removed container $i || left not-removable container $i
    fi
  done
}

# Other programs may use the image of the containers.
volumes() {
  for i in $($s "$p" volume ls -q --filter label=${REMOTE_LABEL}); do
    remove $s "$p" volume rm "$i" >/dev/null 2>&1 || { left in-use volume "$i"; continue; }
    removed volume "$i"
    $s "$p" image inspect "$w" >/dev/null 2>&1 && left yours image "$w"
  done
}

leftovers() {
  for i in $($s "$p" ps -aq --filter label=${RUN_LABEL}); do
    over container $i "$($s "$p" inspect -f "$1" $i)" || continue
    remove $s "$p" rm -f -v $i >/dev/null && removed container $i || left not-removable container $i
  done
  for i in $($s "$p" image ls --format "{{.Repository}}:{{.Tag}}"); do
    case "$i" in
      */${TEMPORARY_PATH}/*) over image "$i" "\${i##*:}" || continue ;;
      *) continue ;;
    esac
    remove $s "$p" rmi "$i" >/dev/null && removed image "$i" || left not-removable image "$i"
  done
}

engine() {
  p="$(command -v docker || command -v podman)" || return 0
  $s "$p" version >/dev/null 2>&1 || { echo "$m no-engine $p"; return; }
  containers
  volumes
  leftovers "$1"
}

# The parameters are $1 to $5 only in the last block.
w="$1"
PATH="\${3:+$3:}$PATH\${4:+:$4}:${HOME_FOLDERS}"
export PATH
o=removed; [ "$5" = dry-run ] && o=would-remove
if [ -d "$h" ]; then
  [ -n "$5" ] || {
    launcher
    parts
    folder bundle "$h/${SHARE_FOLDER}/${NAME}"
    rmdir "$h/.local" 2>/dev/null
  }
  cache "$h/.cache"
fi
# Transfers with --sudo have a cache folder in root's home folder.
f="$HOME/.cache"
case "$XDG_CACHE_HOME" in
  /*) f="$XDG_CACHE_HOME" ;;
esac
[ "$f" = "$h/.cache" ] || cache "$f"
for d in "$XDG_RUNTIME_DIR" /dev/shm /tmp /var/tmp; do
  [ -n "$d" ] && nodes "$d"
done
engine "$2"
echo "$m done"
`;

/** `uninstall` also removes the files of setup; `dry-run` only reports what would be removed. */
export type Removal = "uninstall" | "prune" | "dry-run";

/** Returns the words of a command that runs the script, without the login. */
export function uninstallWords(
  { image, paths, sudo }: Pick<HostConnection, "image" | "paths" | "sudo">,
  folders: readonly string[] = FOLDERS,
  removal: Removal = "uninstall",
): string[] {
  const runLabel = `{{index .Config.Labels "${RUN_LABEL}"}}`;
  const given = [image.given, runLabel, paths.join(":"), folders.join(":"), removal === "uninstall" ? "" : removal];
  return evaluatingWords(blocksOf(SCRIPT), given, { sudo });
}
