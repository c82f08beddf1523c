import { createHash, randomBytes } from "node:crypto";
import type { Reference } from "docker-over-ssh/builds";

/** The folder of repositories of running pushes, at the guard's proxy on 127.0.0.1. Nobody else should use such a name. */
const FOLDER = "docker-over-ssh-guard";

/** A name that an image has on the engine while it is pushed. */
export interface PushName {
  /** `127.0.0.1:PORT` */
  host: string;
  /** Within the host. The same for each push of a tenant to a repository: the engine remembers by this name which layers are there. */
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

/** A pattern for the engine's list of images: all names of pushes of this guard */
export function leftoverPattern(owner: string): string {
  return `127.0.0.1:*/${FOLDER}/${hash(owner)}/*`;
}

/** Whether a name on the engine, with a tag or a digest, is that of a push of this guard. */
export function isLeftover(owner: string, name: string): boolean {
  return new RegExp(
    `^127\\.0\\.0\\.1:\\d+/${FOLDER}/${hash(owner)}/[0-9a-f]+(?::push-[0-9a-f]+|@sha256:[0-9a-f]{64})$`,
  ).test(name);
}

function hash(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 24);
}
