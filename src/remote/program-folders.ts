/** Where programs are on a remote side, as its shell reads it. `$h` is the home folder of the user who has logged in. */

/**
 * Folders that the PATH of a shell that is not a login shell may lack: Homebrew, MacPorts, snap, Docker Desktop, Synology's packages.
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

/** Folders in the home folder: those that all software uses, Docker Desktop, OrbStack, Rancher Desktop. */
export const HOME_FOLDERS = "$h/.local/bin:$h/bin:$h/.docker/bin:$h/.orbstack/bin:$h/.rd/bin";

/** Where Node may be: in PATH, where the version managers volta, fnm, nvm, mise and asdf have it, and Synology's packages. */
export const NODE_PATHS = [
  '"$(command -v node)" "$(command -v nodejs)"',
  '"$h/.volta/bin/node"',
  `"\${XDG_DATA_HOME:-$h/.local/share}/fnm/aliases/default/bin/node"`,
  '"$h/.fnm/aliases/default/bin/node"',
  '"$h/Library/Application Support/fnm/aliases/default/bin/node"',
  `"\${NVM_DIR:-$h/.nvm}"/versions/node/v2[0-9]*/bin/node`,
  '"$h/.local/share/mise/shims/node"',
  '"$h/.asdf/shims/node"',
  "/var/packages/Node.js_v2*/target/usr/local/bin/node",
].join(" ");
