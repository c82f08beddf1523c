import { execa } from "execa";
import type { Engine } from "./engine.ts";
import { PROGRAMS, startLoginHost, type LoginHost, type LoginUser } from "./login-host.ts";
import type { Testbed } from "./testbed.ts";

/** The first host of a relay, and the options for all hosts: they have docker and Node, and docker-over-ssh is sent to them. */
export const FIRST_HOST = "ssh://root@login";
export const HOST_OPTIONS = ["--far-path", PROGRAMS.docker, "--far-path", PROGRAMS.node, "--far", "node"];

/**
 * Starts hosts behind the far machine's wire: `login`, with the far engine, and further hosts, each with the name of one of these users. Only root's
 * ssh on `login` knows these names.
 *
 * @param engines the engine of each further host that has one. It may belong to another test bed, because a socket needs no network
 */
export async function startRelayHosts(
  bed: Testbed,
  engines: Record<string, Engine>,
  more: readonly LoginUser[] = [],
): Promise<LoginHost> {
  const behind = Object.entries(engines).map(([name, { description }]) => ({
    name,
    links: { ".local/bin/docker": `${PROGRAMS.docker}/docker`, ".local/bin/node": `${PROGRAMS.node}/node` },
    forced: `DOCKER_HOST=unix://${description.socket} exec sh -c "$SSH_ORIGINAL_COMMAND"`,
  }));
  const host = await startLoginHost(bed, [...behind, ...more]);
  const settings = [...behind, ...more].map(
    ({ name }) => `Host ${name}\\n  User ${name}\\n  HostName 127.0.0.1\\n  Port 2230\\n`,
  );
  const script = `mkdir -p ~/.ssh && printf "${settings.join("")}Match all\\n  Include ${bed.sshConfig}\\n" >~/.ssh/config`;
  await execa({ env: { ...bed.env, ...host.env }, stdin: "ignore" })`ssh root@login ${script}`;
  return host;
}
