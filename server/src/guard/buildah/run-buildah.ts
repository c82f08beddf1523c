import type { Readable } from "node:stream";
import { messageOf, startProgram, type Reference } from "docker-over-ssh/builds";
import { imagePolicy, REGISTRIES } from "./registry-files.ts";
import { sandboxArguments, sandboxEnvironment, storageArguments, type SandboxOptions } from "./sandbox.ts";

/** The options with which buildah runs on this host. */
export interface Setup {
  driver: "overlay" | "vfs";
  /** Options of the storage driver, e.g. `overlay.mount_program=/usr/bin/fuse-overlayfs` */
  driverOptions: readonly string[];
  isolation: "oci" | "chroot";
  /** For `oci`: `crun` or `runc` */
  runtime?: string | undefined;
}

/** The folder of a tenant, and the user of its programs. */
export interface Home {
  readonly folder: string;
  /** The host's user ID of the sandbox's root */
  readonly user: number;
  readonly userNamespace?: string | undefined;
}

export interface RunOptions extends Partial<Pick<SandboxOptions, "network" | "cgroupFiles" | "call">> {
  signal: AbortSignal;
  /** The image that the program may fetch */
  reference?: Reference | undefined;
  /** A containers-auth.json(5) */
  authFile?: object | undefined;
  /** Gets the lines of both outputs as they arrive. If set, stdout is not returned. */
  onLine?: ((line: string, from: "stdout" | "stderr") => void) | undefined;
}

/** A failure of buildah, with buildah's message without `Error: `. */
export class BuildahError extends Error {
  override readonly name = "BuildahError";
  readonly status: number | undefined;
  /** The lines of stderr, up to a limit */
  readonly lines: readonly string[];

  constructor(message: string, status: number | undefined, lines: readonly string[]) {
    super(message);
    this.status = status;
    this.lines = lines;
  }
}

/** Maximum characters of a line. Longer lines are split. */
const MAX_LINE = 64 * 1024;
/** Maximum characters of output that are stored. The longest output lists the images of a tenant, which are some hundred. */
const MAX_OUTPUT = 64 * 1024 * 1024;
/** Maximum lines of errors that are stored. The first one names the failure. */
const MAX_ERRORS = 100;

/** Runs buildah on the storage of a tenant, with {@link runInSandbox}. */
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
 * Runs a program in a sandbox of the tenant. Resolves with its output. All processes that it has started end with it, or when the signal aborts.
 *
 * @throws BuildahError, or the signal's reason
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
  // unshare(1) ignores SIGTERM while it waits for its child. SIGKILL also kills the child and all processes in its namespace.
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

/** Returns the last `Error: …` and the lines after it, or else the last line. Skips warnings, which have logrus' format. */
function errorIn(lines: readonly string[]): string | undefined {
  const messages = lines.filter((line) => line !== "" && !/^time="[^"]*" level=/.test(line));
  const at = messages.findLastIndex((line) => line.startsWith("Error: "));
  if (at === -1) return messages.at(-1);
  return messages.slice(at).join("\n").slice("Error: ".length);
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
