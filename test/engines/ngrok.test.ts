import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newCredentials } from "../../src/registry/password.ts";
import { passwordProxy, allowWrites } from "../../src/registry/password-proxy.ts";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, rememberEngines, why } from "./bed.ts";
import { startRegistry, type OwnRegistry } from "./registry.ts";

/** No test can reach ngrok's cloud, so a stand-in replaces its package. Everything else is real. */
const standIn = new URL("../fixtures/ngrok/use-stand-in.js", import.meta.url).href;

let registry: OwnRegistry;
let folder: string;

beforeAll(async () => {
  if (why) return;
  registry = await startRegistry(bed.near);
  folder = mkdtempSync(join(tmpdir(), "dos-ngrok-"));
  await buildImage(bed.near, "exposed:v1", [{ name: "data", bytes: 3_000_000 }]);
});

afterAll(async () => {
  if (why) return;
  await registry[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const push = async (env: Record<string, string>) =>
  await dos(["push", "exposed:v1", "ssh", "far", "docker-over-ssh pull exposed:v1"], {
    env: {
      LOCAL_DOCKER_REGISTRY_PORT: registry.port,
      NODE_OPTIONS: `--import=${standIn}`,
      NGROK_STAND_IN_LOG: join(folder, "log"),
      ...env,
    },
  });

describe.skipIf(why)(`DOCKER_REGISTRY_NGROK ${why ?? ""}`, () => {
  test.each([
    ["an auth token", "2abc_token", { authtoken: "2abc_token" }],
    ["true: an agent without one", "true", {}],
  ])("%s: the engine pushes through the public address, which is then closed", async (_, value, options) => {
    rmSync(join(folder, "log"), { force: true });
    const changes = await rememberEngines(bed.near);
    const run = await push({ DOCKER_REGISTRY_NGROK: value });
    expect(run).toEqual(done);
    expect(run.stderr).not.toContain("2abc_token");
    expect((await bed.far.docker("run", "--rm", "exposed:v1")).stdout).toBe("exposed v1");
    await bed.far.docker("rmi", "exposed:v1");
    const [opened, closed] = readFileSync(join(folder, "log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(opened).toEqual({ opened: expect.stringMatching(/^http/), addr: expect.any(Number), ...options });
    expect(closed).toEqual({ closed: opened.opened });
    expect(await changes()).toEqual([{ came: [], went: [] }]);
  });

  test("a rejected token: the error contains ngrok's message without the token", async () => {
    const run = await push({ DOCKER_REGISTRY_NGROK: "wrong" });
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toContain(
      "ngrok did not open a public address: authentication failed: the token [token] is not valid",
    );
  });

  test("a missing package: the error names the package to install", async () => {
    const run = await push({ DOCKER_REGISTRY_NGROK: "true", NGROK_STAND_IN: "missing" });
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toContain("the optional package @ngrok/ngrok is not installed");
    expect(run.stderr).toContain("npm install --global @ngrok/ngrok");
  });
});

describe.skipIf(why)("the password proxy in front of a registry", () => {
  test("lets an engine log in, push and pull with the password only", async () => {
    const credentials = newCredentials();
    await using proxy = passwordProxy({
      target: `http://${registry.host}`,
      credentials,
      allows: allowWrites("team/app"),
      onUnreachable: () => {},
    });
    const host = `127.0.0.1:${await proxy.listen()}`;
    const name = `${host}/team/app:v1`;
    const docker = execa({ env: { ...bed.near.env, DOCKER_CONFIG: folder }, reject: false });
    await docker`docker tag exposed:v1 ${name}`;
    expect((await docker`docker push ${name}`).stderr).toMatch(/no basic auth credentials|unauthorized/);
    const login = await docker({
      input: credentials.password,
    })`docker login --username ${credentials.username} --password-stdin ${host}`;
    expect(login.stdout).toContain("Login Succeeded");
    expect(
      (await docker({ input: "guess" })`docker login --username ${credentials.username} --password-stdin ${host}`)
        .exitCode,
    ).toBe(1);
    expect(await docker`docker push ${name}`).toMatchObject({ exitCode: 0 });
    await docker`docker rmi ${name}`;
    expect(await docker`docker pull ${name}`).toMatchObject({ exitCode: 0 });
    expect((await docker`docker run --rm ${name}`).stdout).toBe("exposed v1");
    await docker`docker rmi ${name}`;
  });
});
