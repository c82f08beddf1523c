import { REMOTE_LABEL } from "../../run/run-id.ts";
import { STARTED_BY_SCRIPT } from "./remote-lines.ts";

/** The volume with the cache folder of remote sides in containers. */
export const CACHE_VOLUME = "docker-over-ssh-cache";

/** s within which the remote engine must pull the image. About 55 MB take 44 s at 10 Mbit/s. */
const PULL_LIMIT = 120;

/**
 * The blocks of the remote script that start a container, under the rules of the other blocks: `$p` is docker, `$i` the image, `$v` the
 * platform of the engine, `$u` the path of its socket.
 */
export const CONTAINER_SCRIPT = `
# The image must exist for the platform of the engine. Otherwise the engine pulls it, or the initiator sends it.
has_image() {
  a="$($s "$p" image inspect --format "{{.Os}}/{{.Architecture}}" "$i" 2>/dev/null)"
  [ "$a" = "$v" ]
}

# A host without internet access must not wait each time, so there is one attempt a day unless the image was requested.
# Another user may have created the folder: open no FIFO in it, and follow no link to a file to write (set -C).
may_pull() {
  c="\${XDG_CACHE_HOME:-$HOME/.cache}/docker-over-ssh/pull-failed"
  [ "$q" = asked ] && return
  [ -f "$c" ] || return 0
  [ "$(cat "$c" 2>/dev/null)" = "$i" ] && [ -n "$(find "$c" -mtime -1 2>/dev/null)" ] && return 1
  return 0
}

# Write the note first, because the attempt may be stopped. Without a note there is no attempt.
note_pull() {
  [ "$q" = asked ] || { [ -n "$HOME" ] && (umask 077; mkdir -p "\${c%/*}" && rm -f "$c" && set -C && echo "$i" > "$c") 2>/dev/null; }
}

pull_image() {
  echo "$m pull $i"
  l=""; command -v timeout >/dev/null && l="timeout ${PULL_LIMIT}"
  $l $s "$p" pull -q "$i" >/dev/null 2>&1 </dev/null && has_image || return
  [ "$q" = asked ] || rm -f "$c"
}

get_image() {
  has_image && return
  may_pull && note_pull && pull_image && return
  echo "$m image $v $i"
  read -r a
  [ "$a" = sent ] && has_image
}

# If docker is killed before the container starts, --rm does not remove the container. Recent containers may be about to start.
# Do not use prune: Docker 1.13 ignores its filters, and removes all stopped containers.
tidy_engine() {
  $s "$p" ps -a --filter label=${REMOTE_LABEL} --filter status=created --filter status=exited --format "{{.ID}} {{.RunningFor}}" </dev/null 2>/dev/null | while read -r a e; do
    case "$e" in
      [1-9][0-9]" minutes"*|*hour*|*day*|*week*|*month*|*year*) $s "$p" rm "$a" </dev/null >/dev/null 2>&1 ;;
    esac
  done
}

# Use no log driver: the output of this container is the tunnel, which the engine would log.
t_container() {
  p="$(command -v docker)"
  v="$($s "$p" version --format "{{.Server.Os}}/{{.Server.Arch}}" 2>/dev/null)"
  case "$v" in ?*/?*) ;; *) pass container "no engine"; return ;; esac
  u="$(socket)"
  [ -n "$u" ] || { pass container "no socket"; return; }
  get_image || { pass container "no image"; return; }
  tidy_engine
  echo "$m try container $i"
  $s "$p" run -i --rm --log-driver none --network host --pid host --userns host --security-opt label=disable --user 0:0 --label ${REMOTE_LABEL}=true --mount type=volume,src=${CACHE_VOLUME},dst=/cache,volume-label=${REMOTE_LABEL}=true --mount "type=bind,src=$u,dst=/var/run/docker.sock" -e XDG_CACHE_HOME=/cache -e DOCKER_HOST=unix:///var/run/docker.sock -e ${STARTED_BY_SCRIPT}=1 --entrypoint node "$i" -e "$j" -- "$b" $d container "$@"
  ended container $?
}
`;
