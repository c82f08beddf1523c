import { execa } from "execa";
import { askEngine } from "./engine-api.ts";
import { machineEnvironment } from "./environment.ts";
import { Testbed } from "./testbed.ts";

/**
 * Returns a test bed with the only engine of the docker CLI, e.g. Docker Desktop, as both near and far. It starts nothing and cleans nothing up,
 * because the tests remove their images.
 * @param why the reason why tests of two machines are skipped
 */
export async function useHostEngine(why: string): Promise<Testbed> {
  const machine = execa({ env: machineEnvironment() });
  const host =
    machineEnvironment()["DOCKER_HOST"] ??
    (await machine`docker context inspect --format ${"{{.Endpoints.docker.Host}}"}`).stdout;
  if (!host.startsWith("unix://")) throw new Error(`an engine on a Unix socket is needed, not ${host}`);
  const socket = host.slice("unix://".length);
  const { Version } = JSON.parse(await askEngine(socket, "/version")) as { Version: string };
  const { stdout: configFolder } = await machine`sh -c ${'echo "${DOCKER_CONFIG:-$HOME/.docker}"'}`;
  const path = process.env["PATH"] ?? "";
  const engine = { kind: "host" as const, version: Version, socket, path, configFolder };
  const env = { DOCKER_HOST: host, PATH: path };
  return new Testbed({ near: engine, far: engine, env, machines: { why } });
}
