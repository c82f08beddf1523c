/** The folders of programs on a remote side, in shell syntax. `$h` is the home folder of the user who has logged in. */

/**
 * Folders that the PATH of a non-login shell may lack: Homebrew, MacPorts, snap, Docker Desktop, Synology's packages.
 */
export const FOLDERS = [
  "/usr/local/bin",
  "/opt/homebrew/bin",
  "/opt/local/bin",
  "/snap/bin",
  "/Applications/Docker.app/Contents/Resources/bin",
  "/var/packages/ContainerManager/target/usr/bin",
  "/var/packages/Docker/target/usr/bin",
  "/usr/bin",
  "/bin",
];

/** Folders in the home folder: the common ones, and those of Docker Desktop, OrbStack and Rancher Desktop. */
export const HOME_FOLDERS = "$h/.local/bin:$h/bin:$h/.docker/bin:$h/.orbstack/bin:$h/.rd/bin";

/**
 * A function that prints the path of a Node of nvm: `nvm_node NAME` prints the newest one that an alias (`default`) matches, `nvm_node` the
 * newest of all. An alias is a version (`v22.1.0`), the prefix of a version (`22`), or another alias (`lts/*`).
 */
export const NVM_NODE = `
nvm_node() {
  g="\${NVM_DIR:-$h/.nvm}"; a="$1"
  for x in 1 2 3 4; do
    [ -f "$g/alias/$a" ] && read -r a < "$g/alias/$a"
  done
  a="\${a#v}"
  for x in $(ls "$g/versions/node" 2>/dev/null | sort -t . -k 1.2,1nr -k 2,2nr -k 3,3nr); do
    case "$x." in
      "v$a\${1:+.}"*) echo "$g/versions/node/$x/bin/node"; return ;;
    esac
  done
}
`;

/** Possible paths of Node: in PATH, of the version managers volta, fnm, nvm, mise and asdf, and of Synology's packages. Uses {@link NVM_NODE}. */
export const NODE_PATHS = [
  '"$(command -v node)" "$(command -v nodejs)"',
  '"$h/.volta/bin/node"',
  `"\${XDG_DATA_HOME:-$h/.local/share}/fnm/aliases/default/bin/node"`,
  '"$h/.fnm/aliases/default/bin/node"',
  '"$h/Library/Application Support/fnm/aliases/default/bin/node"',
  '"$(nvm_node default)" "$(nvm_node)"',
  '"$h/.local/share/mise/shims/node"',
  '"$h/.asdf/shims/node"',
  "/var/packages/Node.js_v2*/target/usr/local/bin/node",
].join(" ");
