/** Why the script skips a Node whose digest differs. gzip's message follows it. */
export const DAMAGED_NODE = "the Node that arrived is not the one that was sent:";

/**
 * The blocks of the remote script that use a Node of this side (`--far node-sent`), under the rules of the other blocks. The script names
 * its system in a line, and the initiator answers with a Node: SHA-256, compressed bytes, bytes. If that Node is in the cache folder, the
 * script uses it. Otherwise it requests the bytes. On any failure the script skips this program, and leaves at most a part file,
 * which the next run removes.
 *
 * The script changes into the folder and runs Node by a relative path, so nobody can replace the folder in the meantime.
 */
export const SENT_NODE_SCRIPT = `
# Prints the SHA-256 of a file; prints nothing if there is no such file, or no program for it.
digest() {
  set -- $({ sha256sum <"$1" || shasum -a 256 <"$1" || openssl dgst -sha256 -r <"$1"; } 2>/dev/null)
  echo $1
}

libc() {
  getconf GNU_LIBC_VERSION 2>/dev/null && return
  f="$(LC_ALL=C ldd --version 2>&1)"
  case "$f" in
    *musl*) echo musl ;;
    *GLIBC*|*GNU*) for f in \${f%%Copyright*}; do :; done; echo "glibc $f" ;;
    *) for f in /lib/ld-musl-*; do [ -e "$f" ] && echo musl; done ;;
  esac
}

# Changes into a folder if it belongs to this user, and only this user may write to it.
enter() {
  [ -L "$1" ] && return 1
  cd -P "$1" 2>/dev/null || return
  case "$(ls -ld .)" in
    d????-??-*) [ -O . ] ;;
    *) return 1 ;;
  esac
}

# Returns whether this folder has room, and programs can be run from it.
suits() {
  set -- $(df -Pk . 2>/dev/null | tail -n 1)
  [ "\${4:-$y}" -gt $((y/1024)) ] || return
  f="node-run.$$.part"
  { echo exit 0 >$f && chmod 700 $f && ./$f; } 2>/dev/null
  set -- $?; rm -f $f; return $1
}

# Removes the files of killed runs, whose names contain their process IDs. A file that was changed within the last hour may belong to a process
# that is not visible: on another machine with the same home folder, or in another container.
tidy() {
  for f do
    a="\${f%.*}"
    [ -O "$f" ] || continue
    [ -L "$f" ] || kill -0 "\${a##*.}" 2>/dev/null || [ -z "$(find "$f" -prune -mmin +60 2>/dev/null)" ] || rm -rf "$f"
  done
}

# Changes into the cache folder, or into a new folder for this run, $r.
place() {
  enter "$k" && suits && return
  for q in "$XDG_RUNTIME_DIR" /dev/shm /tmp /var/tmp; do
    [ -d "$q" ] || continue
    tidy "$q"/docker-over-ssh-node.*.*
    r="$(mktemp -d "$q/docker-over-ssh-node.$$.XXXXXX" 2>/dev/null)"
    [ -n "$r" ] || continue
    enter "$r" && suits && return
    cd /; rm -rf "$r"; r=""
  done
  pass node-sent "no folder has room for it and lets programs run"
  return 1
}

# Reads all bytes even on failure, because another program reads the data that follows.
receive() {
  echo "$m send-node"
  read -r a q
  [ "$a" = send ] || { pass node-sent "$q"; return 1; }
  f="./node-$g.$$.part"
  q="$(umask 077; head -c $z | { gzip -dc 2>&1 >"$f" || cat >/dev/null; })"
  [ "$(digest "$f")" = "$g" ] || { pass node-sent "${DAMAGED_NODE} $(echo $q)"; return 1; }
  chmod 700 "$f"
  q="$("$f" -e 0 2>&1)" || { pass node-sent "it does not start: $(echo $q)"; return 1; }
  mv -f "$f" "./node-$g" || { pass node-sent "it cannot be kept"; return 1; }
  find ./node-* -mtime +30 -exec rm -f {} + 2>/dev/null
  return 0
}

can_take() {
  api || { pass node-sent "$why"; return 1; }
  [ -z "$s" ] || { pass node-sent "sudo wants a password for it"; return 1; }
  command -v gzip >/dev/null && [ -n "$(digest /dev/null)" ] || { pass node-sent "no gzip, or no program for SHA-256"; return 1; }
}

offered() {
  can_take || return
  echo "$m system $(uname -s) $(uname -m) $(getconf LONG_BIT 2>/dev/null || echo 64) $(libc)"
  read -r a g z y
  [ "$a" = node ] || { pass node-sent "$g $z $y"; g=""; return; }
  (umask 077; mkdir -p "$k") 2>/dev/null
  f=""
  enter "$k" && { tidy node-*.part; f="$(digest "./node-$g")"; }
  [ "$f" = "$g" ] || { place && receive; } || return
  touch "./node-$g" 2>/dev/null
  run_node node-sent "./node-$g" "$@"
}

leave() {
  [ -z "$g" ] || rm -f "./node-$g.$$.part" "node-run.$$.part"
  cd "$c" || cd /
  [ -z "$r" ] || rm -rf "$r"
}

t_sent() {
  c="$(pwd)"; r=""; g=""; k="\${HOME:-/dev/null}/.cache"
  case "$XDG_CACHE_HOME" in /*) k="$XDG_CACHE_HOME" ;; esac
  k="$k/docker-over-ssh"
  trap leave EXIT; trap "exit 129" HUP INT PIPE TERM
  offered "$@"
  trap - EXIT HUP INT PIPE TERM; leave
}
`;
