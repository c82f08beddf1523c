import { randomUUID } from "node:crypto";
import { chown, lstat, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isTenantId } from "../tenant.ts";
import type { Home } from "./run-buildah.ts";
import { openUserNamespace, userAt, USERS, FIRST_USER, type UserNamespace } from "./users.ts";

/** The folders of a tenant. `sandbox` is the mount point of the root of its programs. */
const FOLDERS = ["storage", "sandbox", "calls"];

/** The home of a tenant while its guard runs. */
export interface OpenHome extends Home {
  readonly tenant: string;
  /** Controllers that abort the running builds */
  readonly builds: Set<AbortController>;
  /** Whether no build, finished or killed, has left a container behind */
  isClean: boolean;
  /** Resolves when the home is clean and may be used */
  ready: Promise<void>;
}

/** The folders of all tenants, each with its own users. */
export class Homes implements AsyncDisposable {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  /** Whether tenants get user namespaces */
  readonly #hasUsers: boolean;
  readonly #open = new Map<string, Promise<{ home: OpenHome; namespace?: UserNamespace }>>();
  #adding: Promise<unknown> = Promise.resolve();

  /** @param folder from which the files of builds of a killed guard are removed */
  constructor(folder: string, env: NodeJS.ProcessEnv, hasUsers: boolean) {
    this.#folder = folder;
    this.#env = env;
    this.#hasUsers = hasUsers;
  }

  /** Returns the IDs of the tenants that have a folder. */
  async tenants(): Promise<string[]> {
    return (await readdir(this.#folder).catch(() => [])).filter(isTenantId);
  }

  async of(tenant: string): Promise<OpenHome> {
    let opened = this.#open.get(tenant);
    if (opened === undefined) {
      opened = this.#openHome(tenant);
      this.#open.set(tenant, opened);
      opened.catch(() => this.#open.delete(tenant));
    }
    const { home } = await opened;
    await home.ready;
    return home;
  }

  /** Removes the folder of a tenant. `empty` removes the files of the tenant's users, as one of these users. */
  async remove(tenant: string, empty: (home: OpenHome) => Promise<unknown>): Promise<void> {
    const folder = join(this.#folder, tenant);
    if ((await lstat(folder).catch(() => undefined)) === undefined) return;
    const home = await this.of(tenant);
    const opened = await this.#open.get(tenant);
    await empty(home);
    await rm(folder, { recursive: true, force: true });
    this.#open.delete(tenant);
    opened?.namespace?.[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#open.values()) {
      const found = await opened.catch(() => undefined);
      found?.namespace?.[Symbol.dispose]();
    }
    this.#open.clear();
  }

  async #openHome(tenant: string): Promise<{ home: OpenHome; namespace?: UserNamespace }> {
    const folder = join(this.#folder, tenant);
    const user = await this.#inOrder(async () => {
      const before = await lstat(folder).catch(() => undefined);
      const chosen = before?.uid ?? (await this.#freeUser());
      await makeFolders(folder, chosen);
      return chosen;
    });
    await removeLeftovers(folder);
    const parts = {
      folder,
      user,
      tenant,
      builds: new Set<AbortController>(),
      isClean: false,
      ready: Promise.resolve(),
    };
    if (!this.#hasUsers) return { home: parts };
    const namespace = await openUserNamespace(user, this.#env);
    return { home: { ...parts, userNamespace: namespace.file }, namespace };
  }

  /** Runs one task at a time, so that two new tenants do not get the same users. */
  async #inOrder<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#adding.then(task);
    this.#adding = done.catch(() => {});
    return await done;
  }

  async #freeUser(): Promise<number> {
    const own = process.getuid?.() ?? 0;
    if (!this.#hasUsers || own !== 0) return own;
    const owners = await Promise.all(
      (await readdir(this.#folder)).map(async (name) => (await lstat(join(this.#folder, name))).uid),
    );
    const usedIndexes = new Set(owners.map((uid) => (uid - FIRST_USER) / USERS));
    let index = 0;
    while (usedIndexes.has(index)) index++;
    return userAt(index);
  }
}

/** Creates the folders of a tenant. Their files belong to the tenant's users, the first of whom owns the folder. */
async function makeFolders(folder: string, user: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of FOLDERS) {
    await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    await give(join(folder, name), user);
  }
  await give(folder, user);
}

/** Makes a user the owner of a file, if this process may do that. */
export async function give(path: string, user: number): Promise<void> {
  if (process.getuid?.() === 0) await chown(path, user, user);
}

/** Removes the folders of calls of a killed guard. The programs of these calls have ended with it. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(join(folder, "calls"))) {
    await rm(join(folder, "calls", name), { recursive: true, force: true });
  }
}

/** The folder of one call in a tenant's home. Disposing removes it. */
export interface CallFolder extends AsyncDisposable {
  /** The `call` of {@link SandboxOptions} */
  readonly name: string;
  readonly path: string;
}

/** Creates a folder for a call, with `tmp` in it. */
export async function openCallFolder({ folder, user }: Home): Promise<CallFolder> {
  const name = randomUUID();
  const path = join(folder, "calls", name);
  for (const created of [path, join(path, "tmp")]) {
    await mkdir(created, { mode: 0o700 });
    await give(created, user);
  }
  return {
    name,
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
    },
  };
}
