import { closeSync, openSync, writeFileSync } from "node:fs";
import { messageOf, startProgram, type Program } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/** The first user of the host that tenants get: above those of people, of services, and of the ranges that tools give away (/etc/subuid). */
export const FIRST_USER = 2_147_483_648;
/** Users that each tenant gets: those that an image may name */
export const USERS = 65_536;
/** Prints the process that it is, then waits for the end of its input. */
export const HOLD = "read -r pid _ </proc/self/stat; echo $pid; read -r _ || :";
const KILL_TIMEOUT = 2000;

/** A process that keeps namespaces until it is disposed of. */
export interface Holder extends Disposable {
  /** As the host counts */
  readonly pid: number;
}

/** A user namespace. It is there while its file is open. */
export interface UserNamespace extends Disposable {
  /** Entered by nsenter(1) */
  readonly file: string;
}

/** Starts a program that ends in {@link HOLD}. Rejects with an Error that holds what it printed. */
export async function hold(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Holder> {
  const [name = "", ...rest] = argv;
  const program = startProgram(name, rest, {
    killTimeout: KILL_TIMEOUT,
    env: { PATH: env["PATH"], HOME: env["HOME"] },
  });
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
  const said = program.stderr.read() as Buffer | null;
  throw new Error(messageOf(error ?? (said?.toString().trim() || `${name} has ended`)));
}

async function firstLine({ stdout, stderr, stdin }: Program): Promise<string> {
  stdin.on("error", () => {});
  stderr.pause();
  let text = "";
  for await (const chunk of stdout.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.includes("\n")) break;
  }
  return text.trim();
}

/**
 * Makes a user namespace in which root is `first` on the host. A guard that is root writes the map itself; another one has what /etc/subuid gives to
 * its user, by `buildah unshare`, and `first` is that user.
 *
 * @throws Error where there are none
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

/** The user of the host that is root in a tenant's namespace, from the place that its folder has among the folders. */
export function userAt(place: number): number {
  const user = FIRST_USER + place * USERS;
  if (user + USERS > 4_294_000_000) {
    throw new Refusal("buildah.tenants", "there are no more users for tenants on this host", { statusCode: 503 });
  }
  return user;
}
