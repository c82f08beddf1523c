import { createHash, randomBytes } from "node:crypto";
import type { Reference } from "docker-over-ssh/builds";

/** The folder of the repositories of running pushes at the guard's proxy on 127.0.0.1. Only the guard should use such a name. */
const FOLDER = "docker-over-ssh-guard";

/** The name that an image has on the engine during a push. */
export interface PushName {
  /** `127.0.0.1:PORT` */
  host: string;
  /** The name at the host. Each push of a tenant to a repository uses the same, by which the engine remembers the layers that the repository has */
  repository: string;
  /** Random, so that simultaneous pushes to one repository do not collide */
  tag: string;
}

/** @param owner distinguishes guards that share an engine */
export function newPushName(port: number, owner: string, tenant: string, { domain, path }: Reference): PushName {
  return {
    host: `127.0.0.1:${port}`,
    repository: `${FOLDER}/${hash(owner)}/${hash(tenant, domain, path)}`,
    tag: `push-${randomBytes(16).toString("hex")}`,
  };
}

/** Returns a pattern for the engine's list of images that matches all names of pushes of this guard. */
export function leftoverPattern(owner: string): string {
  return `127.0.0.1:*/${FOLDER}/${hash(owner)}/*`;
}

/** Returns whether a name on the engine, with a tag or a digest, belongs to a push of this guard. */
export function isLeftover(owner: string, name: string): boolean {
  return new RegExp(
    `^127\\.0\\.0\\.1:\\d+/${FOLDER}/${hash(owner)}/[0-9a-f]+(?::push-[0-9a-f]+|@sha256:[0-9a-f]{64})$`,
  ).test(name);
}

function hash(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 24);
}
