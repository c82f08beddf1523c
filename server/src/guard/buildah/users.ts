import { closeSync, openSync, writeFileSync } from "node:fs";
import { messageOf, startProgram, type Program } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/** The first user ID of tenants, above those of people, services, and the ranges that tools assign (/etc/subuid) */
export const FIRST_USER = 2_147_483_648;
/** User IDs of each tenant: as many as an image may use */
export const USERS = 65_536;
/** A script that prints its process ID, then waits until its stdin closes */
export const HOLD = "read -r pid _ </proc/self/stat; echo $pid; read -r _ || :";
const KILL_TIMEOUT = 2000;
/** Characters of a program's stderr after which no more are stored, for a message */
const MAX_ERRORS = 4096;

/** A process that keeps namespaces alive. Disposing ends it. */
export interface Holder extends Disposable {
  /** The process ID in the host's PID namespace */
  readonly pid: number;
}

/** A user namespace, which exists while its file is open. */
export interface UserNamespace extends Disposable {
  /** The file with which nsenter(1) enters the namespace */
  readonly file: string;
}

/** Starts a command that ends with {@link HOLD}. Rejects with an Error that contains its output. */
export async function hold(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Holder> {
  const [name = "", ...rest] = argv;
  const program = startProgram(name, rest, {
    killTimeout: KILL_TIMEOUT,
    env: { PATH: env["PATH"], HOME: env["HOME"] },
  });
  let errors = "";
  program.stderr.on("data", (chunk: Buffer) => (errors += errors.length < MAX_ERRORS ? chunk.toString() : ""));
  const pid = Number(await firstLine(program));
  if (pid > 0) {
    return {
      pid,
      [Symbol.dispose]() {
        program.stdin.end();
        program.kill();
      },
    };
  }
  program.kill();
  const { error } = await program.exit;
  throw new Error(messageOf(error ?? (errors.trim() || `${name} has ended`)));
}

async function firstLine({ stdout, stdin }: Program): Promise<string> {
  stdin.on("error", () => {});
  let text = "";
  for await (const chunk of stdout.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.includes("\n")) break;
  }
  stdout.resume();
  return text.trim();
}

/**
 * Opens a user namespace in which root is the user `first` of the host. A guard that runs as root writes the map itself. Any other guard gets the range of
 * /etc/subuid from `buildah unshare`, and `first` is its own user.
 *
 * @throws Error if user namespaces do not work
 */
export async function openUserNamespace(first: number, env: NodeJS.ProcessEnv): Promise<UserNamespace> {
  const isRoot = process.getuid?.() === 0;
  const starter = isRoot ? ["unshare", "--user"] : ["buildah", "unshare"];
  using holder = await hold([...starter, "sh", "-c", HOLD], env);
  if (isRoot) {
    for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${holder.pid}/${map}`, `0 ${first} ${USERS}`);
  }
  const file = openSync(`/proc/${holder.pid}/ns/user`, "r");
  return {
    file: `/proc/${process.pid}/fd/${file}`,
    [Symbol.dispose]() {
      closeSync(file);
    },
  };
}

/** Returns the user ID that is root in the namespace of the tenant with this index. */
export function userAt(index: number): number {
  const user = FIRST_USER + index * USERS;
  if (user + USERS > 4_294_000_000) {
    throw new Refusal("buildah.tenants", "this host has no user IDs left for another tenant", { statusCode: 503 });
  }
  return user;
}
