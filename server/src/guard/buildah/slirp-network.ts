import { startProgram } from "docker-over-ssh/builds";
import { HOLD, hold } from "./users.ts";

/** The address at which slirp4netns answers DNS, whatever the name server of the host is */
const NAME_SERVER = "10.0.2.3";

/** A network that reaches the Internet, but no service that listens on 127.0.0.1 of the host. */
export interface StepNetwork extends AsyncDisposable {
  readonly file: string;
  readonly nameServer: string;
}

/**
 * Opens a network for one build in a user namespace. Disposing ends it.
 *
 * @throws Error if slirp4netns does not work
 */
export async function openStepNetwork(userNamespace: string | undefined, env: NodeJS.ProcessEnv): Promise<StepNetwork> {
  const enter = userNamespace === undefined ? [] : ["nsenter", `--user=${userNamespace}`, "-S", "0", "-G", "0", "--"];
  const holder = await hold([...enter, "unshare", "--net", "sh", "-c", HOLD], env);
  // As root, slirp4netns confines itself to an empty root without capabilities. As another user, it runs in the tenant's namespace, and needs a /dev/net/tun that
  // all users may open.
  const isRoot = process.getuid?.() === 0;
  const confined = isRoot ? ["--enable-sandbox", "--enable-seccomp", `--userns-path=/proc/${holder.pid}/ns/user`] : [];
  const argv = [
    ...(isRoot ? [] : enter),
    "slirp4netns",
    "--configure",
    "--mtu=65520",
    "--disable-host-loopback",
    "--ready-fd=1",
    // It exits when its stdin closes, which also happens when the guard is killed.
    "--exit-fd=0",
    ...(userNamespace === undefined ? [] : confined),
    "--netns-type=path",
    `/proc/${holder.pid}/ns/net`,
    "tap0",
  ];
  const slirp = startProgram(argv[0] ?? "", argv.slice(1), { killTimeout: 2000, env: { PATH: env["PATH"] } });
  slirp.stdin.on("error", () => {});
  slirp.stderr.resume();
  const close = async (): Promise<void> => {
    slirp.kill();
    holder[Symbol.dispose]();
    await slirp.exit;
  };
  const isReady = await new Promise<boolean>((resolve) => {
    slirp.stdout.once("data", () => resolve(true));
    void slirp.exit.then(() => resolve(false));
  });
  slirp.stdout.resume();
  if (!isReady) {
    await close();
    throw new Error("slirp4netns does not start");
  }
  return { file: `/proc/${holder.pid}/ns/net`, nameServer: NAME_SERVER, [Symbol.asyncDispose]: close };
}
