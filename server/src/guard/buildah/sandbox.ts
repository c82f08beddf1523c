/** The path of the tenant's storage in the sandbox */
const STORAGE = "/tenant/storage";
/** The path of the files of one call in the sandbox: `context`, `variables`, `tmp` */
export const CALL = "/tenant/call";
/** The path of buildah's credentials in the sandbox */
export const AUTHFILE = "/run/auth.json";
/** The folder in which buildah records its mounts. It exists only in the sandbox, because the mounts of a killed program end with it. */
const RUN_ROOT = "/run/storage";

/**
 * A script that sh runs outside of the sandbox: `FOLDER [CGROUP.PROCS …] -- PROGRAM …`. The shell moves itself into cgroups and becomes the program. This
 * script enters the folder, because the tenant's user may lack access to its parents.
 */
const ENTER = `set -eu
umask 077
cd "$1"
shift
while [ "$1" != -- ]; do
  echo $$ >"$1"
  shift
done
shift
exec "$@"`;

/**
 * A script that sh runs in its own namespaces, in the tenant's folder: `USER POLICY REGISTRIES NAME-SERVER CALL AUTHFILE PROGRAM …`. It creates a root that
 * contains programs of the host, a few files of /etc, the tenant's storage, and the files of this call. No other file of the host is reachable by path,
 * whatever a mount or a link in a build names (CVE-2024-1753, CVE-2024-9675: buildah mounted folders of the host, and does so in Debian 12). Therefore no step
 * changes files of a call while the guard writes or removes them.
 *
 * Each file of the call's folder `variables` becomes a variable of the program. As arguments, everybody on the host could read the values; as variables of
 * the programs outside of the sandbox, they could be misused (LD_PRELOAD). Credentials arrive on stdin, and are never in a folder that another build of the
 * tenant can read.
 */
const SANDBOX = `set -eu
user=$1 policy=$2 registries=$3 server=$4 call=$5 authfile=$6
shift 6
r=./sandbox
mount -c -t tmpfs -o mode=755 tmpfs $r
mkdir $r/etc $r/dev $r/proc $r/sys $r/run $r/tmp $r/var $r/root $r/old $r/tenant $r${STORAGE}
mkdir $r/run/user $r/var/tmp $r/dev/pts $r/dev/shm $r/dev/mqueue $r/etc/containers
for d in usr bin sbin lib lib32 lib64 libx32; do
  if [ -L /$d ]; then
    ln -s "$(readlink /$d)" $r/$d
  elif [ -d /$d ]; then
    mkdir $r/$d
    mount -c --rbind /$d $r/$d
  fi
done
for e in ssl ca-certificates pki crypto-policies alternatives ld.so.cache nsswitch.conf hosts resolv.conf; do
  [ -e /etc/$e ] || continue
  if [ -d /etc/$e ]; then mkdir $r/etc/$e; else : >$r/etc/$e; fi
  mount -c --rbind /etc/$e $r/etc/$e
done
for n in null zero full random urandom tty fuse; do
  [ -e /dev/$n ] || continue
  : >$r/dev/$n
  mount -c --bind /dev/$n $r/dev/$n
done
ln -s /proc/self/fd $r/dev/fd
echo "root:x:0:0:root:/root:/bin/sh
tenant:x:$user:$user::/root:/bin/sh
nobody:x:65534:65534::/:/bin/sh" >$r/etc/passwd
echo "root:x:0:
tenant:x:$user:
nogroup:x:65534:" >$r/etc/group
echo "$policy" >$r/etc/containers/policy.json
echo "$registries" >$r/etc/containers/registries.conf
if [ "$server" != - ]; then
  echo "nameserver $server" >$r/run/resolv.conf
  mount -c --bind $r/run/resolv.conf $r/etc/resolv.conf
fi
# A new sysfs lists the interfaces of the sandbox's own network. The mount works only if the network namespace belongs to the tenant.
if mount -c -t sysfs sysfs $r/sys 2>/dev/null; then
  mount -c --rbind /sys/fs/cgroup $r/sys/fs/cgroup
else
  mount -c --rbind /sys $r/sys
fi
mount -c -t proc proc $r/proc
mount -c --rbind ./storage $r${STORAGE}
if [ "$call" != - ]; then
  mkdir $r${CALL}
  mount -c --rbind "./calls/$call" $r${CALL}
  export TMPDIR=${CALL}/tmp
fi
cd -P $r # without -P, dash resolves the whole path, to whose folders the tenant may have no access
pivot_root . old
umount -c -l /old
rmdir /old
cd /
if [ "$authfile" != - ]; then cat >"$authfile"; fi
for f in ${CALL}/variables/*; do
  [ -f "$f" ] || continue
  value=$(cat "$f"; echo .)
  export "\${f##*/}=\${value%.}"
done
exec "$@"`;

/** The namespaces in which a program runs. */
export interface SandboxOptions {
  /** The tenant's folder on the host */
  folder: string;
  /** A file with which the program enters the user namespace. If undefined, the program is root of the host */
  userNamespace?: string | undefined;
  /** `none`, `host`, or a file with which the program enters the network namespace, with its name server */
  network: "none" | "host" | { file: string; nameServer: string };
  /** Files into which the program writes its process ID to enter cgroups */
  cgroupFiles: readonly string[];
  /** The name of the call's folder */
  call?: string | undefined;
  /** A containers-policy.json(5); `registries` is a containers-registries.conf(5) */
  policy: object;
  registries: string;
  /** Whether stdin is the authfile {@link AUTHFILE} */
  hasAuthFile: boolean;
  /** The host's user ID of the sandbox's root */
  user: number;
}

/** Returns the arguments with which sh runs a program in a sandbox. */
export function sandboxArguments(program: readonly string[], options: SandboxOptions): string[] {
  const { folder, userNamespace, network, cgroupFiles, call, policy, registries, hasAuthFile, user } = options;
  const netFile = typeof network === "object" ? network.file : undefined;
  const enters = userNamespace !== undefined || netFile !== undefined;
  return [
    "-c",
    ENTER,
    "guard",
    folder,
    ...cgroupFiles,
    "--",
    ...(enters ? ["nsenter"] : []),
    ...(userNamespace === undefined ? [] : [`--user=${userNamespace}`, "-S", "0", "-G", "0"]),
    ...(netFile === undefined ? [] : [`--net=${netFile}`]),
    ...(enters ? ["--"] : []),
    // If the program is killed, the first process of its PID namespace is killed as well, and with it all processes that it has started.
    // If the guard is killed, the program is killed, so that none of its processes is left when the guard starts again.
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--ipc",
    "--uts",
    ...(network === "none" ? ["--net"] : []),
    "--",
    "sh",
    "-c",
    SANDBOX,
    "guard",
    String(user),
    JSON.stringify(policy),
    registries,
    typeof network === "object" ? network.nameServer : "-",
    call ?? "-",
    hasAuthFile ? AUTHFILE : "-",
    ...program,
  ];
}

/** Returns the options of buildah that precede its command. */
export function storageArguments(driver: string): string[] {
  return ["--root", STORAGE, "--runroot", RUN_ROOT, "--storage-driver", driver];
}

/** Returns the environment of programs in a sandbox. `user` is the host's user ID of the sandbox's root. */
export function sandboxEnvironment(env: NodeJS.ProcessEnv, user: number, withProxies: boolean): NodeJS.ProcessEnv {
  const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];
  return {
    PATH: env["PATH"],
    HOME: "/root",
    XDG_RUNTIME_DIR: "/run/user",
    TMPDIR: "/tmp",
    LC_ALL: "C",
    // buildah sets these itself after it has entered a user namespace. Without them, it assumes that it is root of the host.
    ...(user !== 0 && {
      _CONTAINERS_USERNS_CONFIGURED: "done",
      _CONTAINERS_ROOTLESS_UID: String(user),
      _CONTAINERS_ROOTLESS_GID: String(user),
    }),
    ...(withProxies && Object.fromEntries(proxies.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))),
  };
}
