import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { connectEngine } from "../../src/engine/open/connect-engine.ts";
import { parseHost } from "../../src/engine/connect/endpoint.ts";
import { forgetBrokenOffName } from "../../src/engine/temporary-name.ts";
import { newRunId } from "../../src/run/run-id.ts";
import { openRegistry } from "../../src/registry/open-registry.ts";
import { basicAuth } from "../../src/registry/password.ts";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, rememberEngines, startDos, unchanged, untilPrinted, why } from "./bed.ts";
import { startRegistry } from "./registry.ts";

const options = () => ({ runId: newRunId(), signal: new AbortController().signal, onProgress: () => {} });
const push = (image: string): string[] => [image, "ssh", "far", `docker-over-ssh pull ${image}`];

describe.skipIf(why)("the registry container", () => {
  test("requires the password of the run, which other users cannot read", async () => {
    await using engine = await connectEngine(parseHost(bed.near.host, "-H"), {});
    await using registry = await openRegistry({ kind: "container" }, engine, options());
    const credentials = registry.pushCredentials ?? expect.fail("no password");
    const status = async (authorization: string): Promise<number> =>
      (await fetch(`${registry.url}/v2/_catalog`, { headers: { authorization } })).status;
    expect(await status(basicAuth(credentials))).toBe(200);
    expect(await status(basicAuth({ ...credentials, password: "guess" }))).toBe(401);
    expect((await fetch(`${registry.url}/v2/_catalog`)).status).toBe(401);
    const [container] = (await bed.near.docker("ps", "--quiet", "--filter", "label=docker-over-ssh.run")).stdout.split(
      "\n",
    );
    const inspected = (await bed.near.docker("inspect", container ?? "")).stdout;
    const processes = (await execa("ps", ["-eo", "args"])).stdout;
    for (const text of [inspected, processes]) expect(text).not.toContain(credentials.password);
    // It is published on 127.0.0.1 only.
    expect(JSON.parse(inspected)[0].NetworkSettings.Ports["5000/tcp"]).toEqual([
      { HostIp: "127.0.0.1", HostPort: expect.any(String) },
    ]);
  });

  test("is removed by the next run if its run was killed, but not by a dry run, and not if its run still lives", async () => {
    await buildImage(bed.near, "leftover:v1", [{ name: "data", bytes: 4_000_000 }]);
    const changes = await rememberEngines(bed.near, bed.far);
    const line = ["push", "--verbose", "--registry", "container", ...push("leftover:v1")];
    const killed = startDos(line);
    await untilPrinted(killed, "preparing");
    killed.kill("SIGKILL");
    await killed;
    const left = await changes();
    expect(JSON.stringify(left)).toContain("container");
    expect(await dos(["push", "--dry-run", ...push("leftover:v1")])).toEqual(done);
    expect(await changes()).toEqual(left);

    await using engine = await connectEngine(parseHost(bed.near.host, "-H"), {});
    await using living = await openRegistry({ kind: "container" }, engine, options());
    const next = await dos(line);
    expect(next).toEqual(done);
    expect(next.stderr).toContain("left by a run that was killed");
    expect((await fetch(`${living.url}/v2/`)).status).toBe(401);
    await living[Symbol.asyncDispose]();
    expect(await changes()).toEqual([
      { came: [], went: [] },
      { came: ["leftover:v1"], went: [] },
    ]);
  });
});

describe.skipIf(why)("a user's own registry", () => {
  test.each([
    ["option", "--registry HOST:PORT", (host: string) => ({ args: ["--registry", host], env: {} })],
    [
      "variable",
      "LOCAL_DOCKER_REGISTRY_PORT",
      (host: string) => ({ args: [], env: { LOCAL_DOCKER_REGISTRY_PORT: host.split(":")[1] ?? "" } }),
    ],
  ])("by %s %s: no container is started, and the temporary name is removed", async (name, _, choice) => {
    await buildImage(bed.near, `${name}:v1`, [{ name, bytes: 1_000_000 }]);
    await using registry = await startRegistry(bed.near);
    const changes = await rememberEngines(bed.near);
    const { args, env } = choice(registry.host);
    expect(await dos(["push", ...args, ...push(`${name}:v1`)], { env })).toEqual(done);
    expect(await changes()).toEqual(unchanged(1));
    const catalog = await fetch(`http://${registry.host}/v2/_catalog`);
    expect(await catalog.json()).toEqual({ repositories: [`docker-over-ssh/library/${name}`] });
  });

  test("removes the engine's record of a push that is interrupted at its end", async () => {
    await buildImage(bed.near, "noted:v1", [{ name: "data", bytes: 1000 }]);
    await using registry = await startRegistry(bed.near);
    const repository = `${registry.host}/docker-over-ssh/library/noted`;
    const changes = await rememberEngines(bed.near);
    await bed.near.docker("tag", "noted:v1", `${repository}:run`);
    const { stdout } = await bed.near.docker("push", `${repository}:run`);
    await bed.near.docker("rmi", `${repository}:run`);
    // The engine also writes this record when it has lost the name in the meantime.
    await bed.near.docker("pull", `${repository}@${/sha256:[0-9a-f]{64}/.exec(stdout)?.[0]}`);
    expect(JSON.stringify(await changes())).toContain(repository);
    await using engine = await connectEngine(parseHost(bed.near.host, "-H"), {});
    await forgetBrokenOffName(engine, `${repository}:run`);
    expect(await changes()).toEqual(unchanged(1));
  });
});
