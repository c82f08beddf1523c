/** Where the tenant's storage is in the sandbox */
const STORAGE = "/tenant/storage";
/** Where the files of one call are in the sandbox: `context`, `variables`, `tmp` */
export const CALL = "/tenant/call";
/** Where buildah finds credentials in the sandbox */
export const AUTHFILE = "/run/auth.json";
/** Where buildah keeps what it knows of mounts. In the sandbox alone: mounts of a program that was killed are gone with it. */
const RUN_ROOT = "/run/storage";

/**
 * Run outside of the sandbox by sh: `FOLDER [CGROUP.PROCS …] -- PROGRAM …`. The shell moves itself into cgroups and becomes the program. The folder is
 * entered here, because its parents need not be open to the tenant's user.
 */
export const ENTER = `set -eu
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
 * Run by sh in namespaces of its own, in the tenant's folder: `USER POLICY REGISTRIES NAME-SERVER CALL AUTHFILE PROGRAM …`. Makes a root in which
 * there are programs of the host, a few files of /etc, the tenant's storage, and the files of this call; nothing else of the host's files can be
 * reached by path, whatever a mount or a link in a build names (CVE-2024-1753, CVE-2024-9675: buildah mounted folders of the host, and does so in
 * Debian 12). So no step changes files of a call while the guard writes or removes them.
 *
 * Each file of its folder `variables` is a variable of the program: values in arguments could be read by everybody on the host, and variables of the
 * programs outside could be misused (LD_PRELOAD). Credentials come on stdin, and are never in a folder that another build of the tenant can see.
 */
export const SANDBOX = `set -eu
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
# One of its own names the interfaces of its own network. It can be mounted where the network is the tenant's.
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
cd -P $r # without -P, dash goes by the whole path, whose folders need not be open to the tenant
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
  /** A file by which the user namespace is entered; undefined: the program is root of the host */
  userNamespace?: string | undefined;
  /** `none`, `host`, or a file by which the network namespace is entered, with its name server */
  network: "none" | "host" | { file: string; nameServer: string };
  /** Files into which the program writes itself, to be in cgroups */
  cgroupFiles: readonly string[];
  /** The name of the call's folder */
  call?: string | undefined;
  /** containers-policy.json(5), containers-registries.conf(5) */
  policy: object;
  registries: string;
  /** Whether stdin is the authfile {@link AUTHFILE} */
  hasAuthFile: boolean;
  /** What root of the sandbox is on the host */
  user: number;
}

/** Returns the arguments of sh that run a program in a sandbox. */
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
    // When the program is killed, so is the first process of its PID namespace, and with it all that it has started.
    // A guard that is killed takes it along: nothing of it is left when it starts again.
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

/** Options of buildah that stand before its command. */
export function storageArguments(driver: string): string[] {
  return ["--root", STORAGE, "--runroot", RUN_ROOT, "--storage-driver", driver];
}

/** The environment of programs in a sandbox. `user` is what root of the sandbox is on the host. */
export function sandboxEnvironment(env: NodeJS.ProcessEnv, user: number, withProxies: boolean): NodeJS.ProcessEnv {
  const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];
  return {
    PATH: env["PATH"],
    HOME: "/root",
    XDG_RUNTIME_DIR: "/run/user",
    TMPDIR: "/tmp",
    LC_ALL: "C",
    // What buildah sets for itself after it has entered a user namespace. Without it, it takes itself for root of the host.
    ...(user !== 0 && {
      _CONTAINERS_USERNS_CONFIGURED: "done",
      _CONTAINERS_ROOTLESS_UID: String(user),
      _CONTAINERS_ROOTLESS_GID: String(user),
    }),
    ...(withProxies && Object.fromEntries(proxies.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))),
  };
}
