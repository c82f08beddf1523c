import { chmod, mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { folder, program } from "../command-line/cli.ts";

export const at = (name: string): string => join(folder, name);
export const example = (name: string): string => join(import.meta.dirname, "../../../examples", name);

const DOCKER_OVER_SSH = `exec ${program.join(" ")}`;

/** Returns shell code that writes the program and these words to a line of the file `calls`. */
const note = (words: string): string => `echo "$(basename "$0") ${words}" >> ${at("calls")}`;

/** The code after this runs on the other side. */
const GO_THERE = `cd ${at("far")}; export HOME=$PWD PATH=${at("far/bin")}:$PATH`;

/** The programs on the side on which an example runs. */
const NEAR: Record<string, string> = {
  // `app:…` in the engine is the image of this name in the layout. A pull without --to writes to the layout.
  "docker-over-ssh": `
verb=$1; shift
engine=oci:\${ENGINE:-${at("near/images")}}
case "$verb $*" in
  pull*--to*) ;;
  pull*) set -- --to "$engine" "$@" ;;
  push*) for word; do
      case $word in app:*) word=$engine:$word ;; esac
      set -- "$@" "$word"; shift
    done ;;
esac
${DOCKER_OVER_SSH} "$verb" "$@"`,
  docker: note("$*"),
  npm: note("$*"),
  apk: note("$*"),
  // ssh [OPTIONS] [--] HOST WORDS…
  ssh: `
while :; do case $1 in --) shift; break ;; -[lop]) shift 2 ;; -*) shift ;; *) break ;; esac; done
${note("$1")}
shift; ${GO_THERE}; exec sh -c "$*"`,
  // kubectl exec OPTIONS -- WORDS…
  kubectl: `
${note("${*%% -- *}")}
[ "$1" = exec ] || exit 0
while [ "$1" != -- ]; do shift; done
shift; ${GO_THERE}; exec "$@"`,
};

/** The programs on the other side. */
const FAR: Record<string, string> = {
  "docker-over-ssh": `
case "$1 $2" in "pull --to" | push*) ${DOCKER_OVER_SSH} "$@" ;; esac
shift; ${DOCKER_OVER_SSH} pull --to oci:${at("far/images")} "$@"`,
  docker: note("there: $*"),
  sudo: 'exec "$@"',
};

/**
 * Creates the environment of an example in folders: `near`, in which it runs, and `far`, to which ssh and kubectl connect. The engine of each is the
 * layout `images` in it. All other programs are stand-ins.
 *
 * @param others shell code for further programs, by side and name: `far/k3s`
 */
export async function makeStandIns(others: Record<string, string> = {}): Promise<void> {
  const all = [
    ...Object.entries(NEAR).map(([name, code]) => [`near/${name}`, code] as const),
    ...Object.entries(FAR).map(([name, code]) => [`far/${name}`, code] as const),
    ...Object.entries(others),
  ];
  for (const [place, code] of all) {
    const [side = "", name = ""] = place.split("/");
    await mkdir(at(`${side}/bin`), { recursive: true });
    await writeFile(at(`${side}/bin/${name}`), `#!/bin/sh\n${code}\n`);
    await chmod(at(`${side}/bin/${name}`), 0o755);
  }
}

/** Runs a command in `near`, which is also its home. */
export async function runNear(words: readonly string[], env: Record<string, string> = {}) {
  const [file = "", ...more] = words;
  const PATH = [at("near/bin"), process.env["PATH"]].join(delimiter);
  const own = {
    HOME: at("near"),
    PATH,
    XDG_CACHE_HOME: at("cache"),
    DOCKER_HOST: "unix:///nowhere.sock",
    NO_COLOR: "1",
  };
  return await execa(file, more, {
    cwd: at("near"),
    env: { ...own, DOCKER_OVER_SSH_FAR: "installed", ...env },
    stdin: "ignore",
    reject: false,
  });
}
