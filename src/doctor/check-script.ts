import { brotliCompressSync } from "node:zlib";
import { NODE_PATHS } from "../remote/script/program-folders.ts";
import { OLDEST_NODE } from "../remote/script/receive-bundle.ts";
import { MARKER, SKIPPED_STATUS } from "../remote/script/remote-lines.ts";
import { furtherBlocks } from "../remote/script/remote-script.ts";
import { blocksOf } from "../remote/script/shell-words.ts";

/**
 * The blocks that doctor sends when the remote script requests further blocks, under the rules of its other blocks (remote-script.ts). They only
 * inspect: they create, pull and start nothing. The script requests the first of them before it tries any program, where it would otherwise
 * request the blocks that receive Node.
 */
const INSPECT = `
fact() {
  echo "$m fact $*"
}

version() {
  $s "$1" --version </dev/null 2>/dev/null | head -n 1
}

# Prints the free KiB of the disk with a folder, and the folder. If the folder does not exist, uses the nearest parent that does.
disk() {
  x="$2"
  until [ -z "$x" ] || [ -d "$x" ]; do
    x="\${x%/*}"
  done
  a="$(df -Pk "$x/" 2>/dev/null | tail -n 1 | { read -r e e e a e; echo "$a"; })"
  [ -n "$a" ] && fact $1 "$a" "$2"
}

look_cache() {
  c="\${XDG_CACHE_HOME:-$HOME/.cache}/docker-over-ssh"
  if [ -L "$c" ]; then fact unsafe "$c is a link"
  elif [ -e "$c" ]; then
    [ -d "$c" ] && [ -O "$c" ] || fact unsafe "$c belongs to another user, or is not a folder"
    [ -w "$c" ] || fact unsafe "$c is not writable"
    case "$(ls -ld "$c" 2>/dev/null | cut -c6,9)" in *w*) fact unsafe "others may write to $c" ;; esac
  fi
  disk cache "$c"
}

look_engine() {
  p="$(command -v docker)" || p="$(command -v podman)" || return
  g=""
  case "$p" in */docker) g="--format {{.Server.Version}}" ;; esac
  if a="$($s "$p" version $g </dev/null 2>&1)"; then
    fact engine "$(echo "$a" | head -n 1)" "$p"
    disk data "$($s "$p" info --format "{{.DockerRootDir}}" </dev/null 2>/dev/null)"
    return
  fi
  fact no-engine "$(echo "$a" | tail -n 1)"
  [ -z "$s" ] && command -v sudo >/dev/null && sudo -n "$p" version </dev/null >/dev/null 2>&1 && fact sudo
}

t_sent() {
  fact user "$(id -un 2>/dev/null || id -u)"
  fact system "$(uname -sm)"
  fact shell "$SHELL"
  p="$(command -v docker-over-ssh)" && fact installed "$(version "$p")" "$p"
  for p in ${NODE_PATHS}; do
    [ -x "$p" ] && is_new "$p" && fact node "$(version "$p")" "$p"
  done
  f=""
  look_cache
  look_engine
}
`;

/** Replaces, in the blocks of a container, the function that would pull the image and start a container. */
const INSPECT_IMAGE = `
get_image() {
  has_image && echo "$m fact image there" || echo "$m fact image to-pull"
  return 1
}
`;

/** Returns the answer to `more`: each block on a line, and an empty line. */
export function inspectionBlocks(program: "container" | "node-sent"): string {
  if (program === "node-sent") return `${blocksOf(INSPECT).join("\n")}\n\n`;
  return `${furtherBlocks("container").trimEnd()}\n${blocksOf(INSPECT_IMAGE).join("\n")}\n\n`;
}

/** Returns code for the remote Node, in place of the bootstrap. It reports whether this Node can be used, and runs on Node 10 or later. */
export function inspectionBootstrap(): string {
  const [major, minor] = OLDEST_NODE;
  const code = `var v=process.versions.node,p=v.split(".");
if(+p[0]>${major}||+p[0]==${major}&&+p[1]>=${minor})console.log("${MARKER} run kept");
else{console.log("${MARKER} pass node Node "+v+" is too old");process.exitCode=${SKIPPED_STATUS}}`;
  return brotliCompressSync(code).toString("base64");
}
