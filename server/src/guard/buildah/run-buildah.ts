import type { Readable } from "node:stream";
import { messageOf, startProgram, type Reference } from "docker-over-ssh/builds";
import { imagePolicy, REGISTRIES } from "./registry-files.ts";
import { sandboxArguments, sandboxEnvironment, storageArguments, type SandboxOptions } from "./sandbox.ts";

/** How buildah runs on this host. */
export interface Setup {
  driver: "overlay" | "vfs";
  /** Options of the driver, e.g. `overlay.mount_program=/usr/bin/fuse-overlayfs` */
  driverOptions: readonly string[];
  isolation: "oci" | "chroot";
  /** For `oci`: `crun` or `runc` */
  runtime?: string | undefined;
}

/** The folder of a tenant, and the user of its programs. */
export interface Home {
  readonly folder: string;
  /** What root of the sandbox is on the host */
  readonly user: number;
  readonly userNamespace?: string | undefined;
}

export interface RunOptions extends Partial<Pick<SandboxOptions, "network" | "cgroupFiles" | "call">> {
  signal: AbortSignal;
  /** The image that may be fetched */
  reference?: Reference | undefined;
  /** containers-auth.json(5) */
  authFile?: object | undefined;
  /** Gets lines of both outputs as they come. `stdout` is then not kept. */
  onLine?: ((line: string, from: "stdout" | "stderr") => void) | undefined;
}

/** A failure of buildah, with its own message, without `Error: `. */
export class BuildahError extends Error {
  override readonly name = "BuildahError";
  readonly status: number | undefined;
  /** All that it wrote to stderr, up to a limit */
  readonly lines: readonly string[];

  constructor(message: string, status: number | undefined, lines: readonly string[]) {
    super(message);
    this.status = status;
    this.lines = lines;
  }
}

/** Characters of a line. Longer ones are cut into several. */
const MAX_LINE = 64 * 1024;
/** Characters of output that is kept: images of a tenant are some hundred */
const MAX_OUTPUT = 64 * 1024 * 1024;
/** Lines of errors that are kept: the first one says what has failed */
const MAX_ERRORS = 100;

/** Runs buildah on the storage of a tenant, as {@link runInSandbox} does. */
export async function runBuildah(
  home: Home,
  { driver, driverOptions }: Setup,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  options: RunOptions,
): Promise<string> {
  const storage = driverOptions.flatMap((option) => ["--storage-opt", option]);
  return await runInSandbox(home, ["buildah", ...storageArguments(driver), ...storage, ...argv], env, options);
}

/**
 * Runs a program in a sandbox of the tenant. Resolves with its output. All processes that it has started end with it, or with the signal.
 *
 * @throws BuildahError; the signal's reason
 */
export async function runInSandbox(
  { folder, user, userNamespace }: Home,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
  { signal, network = "none", cgroupFiles = [], call, reference, authFile, onLine }: RunOptions,
): Promise<string> {
  signal.throwIfAborted();
  const sandbox = {
    folder,
    user,
    userNamespace,
    network,
    cgroupFiles,
    call,
    policy: imagePolicy(reference),
    registries: REGISTRIES,
    hasAuthFile: authFile !== undefined,
  };
  const program = startProgram("sh", sandboxArguments(words, sandbox), {
    killTimeout: 1000,
    ownSession: true,
    env: sandboxEnvironment(env, user, network === "host"),
  });
  // unshare(1) ignores SIGTERM while it waits for its child. Killing it kills the child, and all processes in its namespace.
  const kill = (): void => program.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  let output = "";
  const errors: string[] = [];
  try {
    program.stdin.on("error", () => {});
    program.stdin.end(authFile === undefined ? undefined : JSON.stringify(authFile));
    await Promise.all([
      onLine === undefined
        ? readText(program.stdout, (text) => void (output += output.length < MAX_OUTPUT ? text : ""))
        : readLines(program.stdout, (line) => onLine(line, "stdout")),
      readLines(program.stderr, (line) => {
        if (errors.length < MAX_ERRORS || line.startsWith("Error: ")) errors.push(line);
        onLine?.(line, "stderr");
      }),
    ]);
    const { status, error } = await program.exit;
    signal.throwIfAborted();
    if (error !== undefined) throw new BuildahError(messageOf(error), undefined, errors);
    if (status !== 0) {
      throw new BuildahError(errorIn(errors) ?? `buildah ended with ${status ?? "a signal"}`, status, errors);
    }
    return output;
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
  }
}

/** Returns the last `Error: …` and what follows it, or else the last line. Skips warnings, which have the form of logrus. */
function errorIn(lines: readonly string[]): string | undefined {
  const said = lines.filter((line) => line !== "" && !/^time="[^"]*" level=/.test(line));
  const at = said.findLastIndex((line) => line.startsWith("Error: "));
  if (at === -1) return said.at(-1);
  return said.slice(at).join("\n").slice("Error: ".length);
}

async function readText(stream: Readable, take: (text: string) => void): Promise<void> {
  stream.setEncoding("utf8");
  for await (const text of stream) take(String(text));
}

async function readLines(stream: Readable, take: (line: string) => void): Promise<void> {
  let rest = "";
  await readText(stream, (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
    for (; rest.length > MAX_LINE; rest = rest.slice(MAX_LINE)) take(rest.slice(0, MAX_LINE));
  });
  if (rest !== "") take(rest);
}
