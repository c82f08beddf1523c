import { FOLDERS, HOME_FOLDERS, NODE_PATHS, NVM_NODE } from "../script/program-folders.ts";

/** The folders of the launcher and the bundle, relative to the home folder. */
export const BIN_FOLDER = ".local/bin";
export const SHARE_FOLDER = ".local/share";
export const NAME = "docker-over-ssh";

/** Begins the second line of each launcher that setup has written. setup touches no other file. */
export const LAUNCHER_MARK = "# Written by docker-over-ssh setup";

/** Returns whether setup has written a launcher. */
export function isLauncher(text: string): boolean {
  return text.split("\n")[1]?.startsWith(LAUNCHER_MARK) === true;
}

export interface LauncherOptions {
  version: string;
  /** The Node that ran the installer, which the launcher tries first. */
  node: string;
  /** The file that the Node runs. */
  start: string;
}

/**
 * Returns a shell script that runs docker-over-ssh with the first Node of version 20.19 or later, in the folders that the remote script also
 * searches.
 */
export function launcherText({ version, node, start }: LauncherOptions): string {
  return `#!/bin/sh
${LAUNCHER_MARK}, version ${version}. \`docker-over-ssh setup --uninstall\` removes it.
h="\${HOME:-}"${NVM_NODE}start=${inQuotes(start)}
if [ -f "$start" ]; then
  PATH="$PATH:${FOLDERS.join(":")}:${HOME_FOLDERS}"
  for node in ${inQuotes(node)} ${NODE_PATHS}; do
    case "$("$node" --version 2>/dev/null)" in
      v20.19.*|v20.[2-9][0-9].*|v2[1-9].*|v[3-9][0-9].*|v[1-9][0-9][0-9].*) exec "$node" "$start" "$@" ;;
    esac
  done
  echo "docker-over-ssh: no Node 20.19 or later was found, which the command needs" >&2
else
  echo "docker-over-ssh: $start is missing; run docker-over-ssh setup again" >&2
fi
exit 127
`;
}

/** Quotes a word for a POSIX shell. */
function inQuotes(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
