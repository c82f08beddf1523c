/**
 * The plugins of the docker command: their names, which must not contain a hyphen (docker/cli, cli-plugins/manager), and the commands that
 * they run.
 */
export const PLUGINS = [
  { name: "pushssh", command: "push", description: "Send an image to a host over ssh, only the missing bytes" },
  { name: "pullssh", command: "pull", description: "Fetch an image from a host over ssh, only the missing bytes" },
] as const;

/** Begins the second line of each launcher that `plugin install` wrote. Other files are not touched. */
const MARK = "# Written by docker-over-ssh plugin install";

export function isPluginLauncher(text: string): boolean {
  return text.split("\n")[1]?.startsWith(MARK) === true;
}

/**
 * Returns a shell script that the docker command runs as a plugin, with all of docker's own words: `docker -H X pushssh app prod` passes
 * `-H X pushssh app prod`. The script itself answers the metadata request that docker sends to each plugin at each `docker --help`, because
 * Node would take 50 ms.
 *
 * @param program Node, and the file that it runs
 */
export function pluginLauncher(
  { name, command, description }: (typeof PLUGINS)[number],
  version: string,
  [node, start]: readonly [string, string],
): string {
  const metadata = {
    SchemaVersion: "0.1.0",
    Vendor: "docker-over-ssh",
    Version: version,
    ShortDescription: description,
  };
  return `#!/bin/sh
${MARK}, version ${version}. \`docker-over-ssh plugin uninstall\` removes it.
run() {
  node=${inQuotes(node)} start=${inQuotes(start)}
  [ -x "$node" ] && [ -f "$start" ] && exec "$node" "$start" ${command} "$@"
  exec docker-over-ssh ${command} "$@"
}
context() {
  export DOCKER_CONTEXT="$1"
  unset DOCKER_HOST
}
while [ $# -gt 0 ]; do
  case "$1" in
    docker-cli-plugin-metadata) echo ${inQuotes(JSON.stringify(metadata))}; exit ;;
    ${name}) shift; run "$@" ;;
    help) run --help ;;
    -H|--host) export DOCKER_HOST="$2"; shift ;;
    --host=*) export DOCKER_HOST="\${1#--host=}" ;;
    -c|--context) context "$2"; shift ;;
    --context=*) context "\${1#--context=}" ;;
    --config) export DOCKER_CONFIG="$2"; shift ;;
    --config=*) export DOCKER_CONFIG="\${1#--config=}" ;;
    --tls) export DOCKER_TLS=1 ;;
    --tlsverify) export DOCKER_TLS_VERIFY=1 ;;
    -l|--log-level) shift ;;
    -D|--debug|--log-level=*) ;;
    *) echo "docker ${name}: $1 before ${name} is not supported; see docker-over-ssh ${command} --help" >&2; exit 2 ;;
  esac
  shift
done
echo "docker runs this as docker ${name}" >&2
exit 2
`;
}

/** Quotes a word for a POSIX shell. */
function inQuotes(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
