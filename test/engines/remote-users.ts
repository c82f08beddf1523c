/** For the test file that imports it: users of the far machine with the programs that a remote side may have, and transfers to and from them. */
import { execa } from "execa";
import { expect } from "vitest";
import { NODE_IMAGE } from "../testbed/node-image.ts";
import { PROGRAMS, type LoginHost, type LoginUser } from "../testbed/login-host.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { dos, startDos, type Run } from "./bed.ts";

/** Returns a user with these programs in ~/.local/bin. */
export function userWith(
  name: string,
  programs: readonly (keyof typeof PROGRAMS)[],
  { files, links }: Pick<LoginUser, "files" | "links"> = {},
): LoginUser {
  const own = programs.includes("docker-over-ssh") && {
    ".local/bin/docker-over-ssh": `#!/bin/sh\nexec ${PROGRAMS["docker-over-ssh"]} "$@"\n`,
  };
  return {
    name,
    files: { ...own, ...files },
    links: {
      ...(programs.includes("docker") && { ".local/bin/docker": `${PROGRAMS.docker}/docker` }),
      ...(programs.includes("node") && { ".local/bin/node": `${PROGRAMS.node}/node` }),
      ...links,
    },
  };
}

/** A user of the host, and the options that choose the program for the remote side. */
export interface RemoteChoice {
  user: string;
  options: string[];
}

export const byNode = (user: string): RemoteChoice => ({ user, options: ["--far", "node"] });
export const byContainer = (user: string): RemoteChoice => ({
  user,
  options: ["--far", "container", "--far-image", NODE_IMAGE],
});

/** The cache volume, which containers leave on the engine. */
export const VOLUME = "volume docker-over-ssh-cache";

/** Lines that --verbose prints. */
export const BUNDLE_SENT = "sending docker-over-ssh itself, ";
export const skipped = (program: string, reason: string): string =>
  `remote side: ${program} cannot be used: ${reason}\n`;
export const found = (user: string, how: string): string =>
  `remote side: docker-over-ssh on ssh://${user}@login${how}\n`;
export const ENGINE_ALONE = "remote side: docker system dial-stdio (the engine of login alone: ";

export class RemoteUsers {
  readonly bed: Testbed;
  readonly host: LoginHost;

  constructor(bed: Testbed, host: LoginHost) {
    this.bed = bed;
    this.host = host;
  }

  /** Pushes or pulls an image. `sent`: bytes on the wire to the far machine. */
  async transfer(
    verb: "push" | "pull",
    { user, options }: RemoteChoice,
    ...words: string[]
  ): Promise<{ run: Run; sent: number }> {
    const wire = await this.bed.countWire();
    const run = await dos([verb, "--verbose", ...options, ...words, `ssh://${user}@login`], { env: this.host.env });
    return { run, sent: (await wire()).toFar };
  }

  start({ user, options }: RemoteChoice, ...words: string[]): ReturnType<typeof startDos> {
    return startDos(["push", "--verbose", ...options, ...words, `ssh://${user}@login`], { env: this.host.env });
  }

  /** Runs a script as a user of the host. @returns its stdout */
  async run(script: string, user = "root"): Promise<string> {
    const env = { ...this.bed.env, ...this.host.env };
    return (await execa({ env, stdin: "ignore" })`ssh ${user}@login ${script}`).stdout;
  }

  /** Returns the files in a user's cache folder, with their modes and owners. */
  async cached(user: string): Promise<string[]> {
    const list = await this.run(
      `cd /home/${user}/.cache/docker-over-ssh && stat -c "%A %U %n" bundle-* kept 2>/dev/null; :`,
    );
    return list.split("\n").filter((line) => line !== "");
  }

  /** Waits until no remote side runs on the host, in a container or outside. */
  async untilEnded(user: string): Promise<void> {
    const running = async (): Promise<string[]> => {
      const processes = await this.run(`pgrep -u ${user} -f "^/[^ ]*(node -e|docker run)"; :`);
      const { containers } = await this.bed.far.listing();
      return [...processes.split("\n"), ...containers.map(({ name }) => name)].filter((name) => name !== "");
    };
    await expect.poll(running, { timeout: 25_000 }).toEqual([]);
  }

  /** Removes the images whose names begin with the prefix from both engines, and the volume. */
  async clean(...prefixes: string[]): Promise<void> {
    for (const engine of [this.bed.near, this.bed.far]) {
      const { references, volumes } = await engine.listing();
      const ours = references.filter((name) => prefixes.some((prefix) => name.startsWith(prefix)));
      if (ours.length > 0) await engine.docker("rmi", "--force", ...ours);
      if (volumes.includes("docker-over-ssh-cache")) await engine.docker("volume", "rm", "docker-over-ssh-cache");
    }
  }
}
