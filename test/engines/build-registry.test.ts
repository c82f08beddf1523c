import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, done, dos, untilPrinted, startDos, why } from "./bed.ts";
import { BASE, builtIn, env, farProcessesWith, folder, importBase, project, twoMachines } from "./build-projects.ts";
import { startPrivateRegistries, type AuthScheme, type PrivateRegistries, type User } from "./private-registry.ts";

/** Random, so that nothing else on this machine contains it. */
const USER: User = { username: "build-user", password: `build-password-${randomBytes(8).toString("hex")}` };
const WRONG: User = { ...USER, password: `${USER.password}-wrong` };

const SCHEMES = ["basic", "token"] as const;

let registries: PrivateRegistries;
/** The base image, which only the registry has. */
const baseOf = (scheme: AuthScheme): string => `${registries.hosts[scheme]}/build-private:v1`;

beforeAll(async () => {
  if (why) return;
  registries = await startPrivateRegistries(USER);
  await importBase(bed.near);
  const open = `${new URL(registries.open).host}/build-private:v1`;
  await bed.near.docker("tag", BASE, open);
  await bed.near.docker("push", open);
  await bed.near.docker("rmi", open);
});

afterAll(async () => await registries?.[Symbol.asyncDispose]());

/** Writes a docker config with this user's credentials, in the file or in a credential helper. @returns the environment that names it */
function loggedIn({ username, password }: User, where: "auths" | "helper" = "auths"): Record<string, string> {
  const config = join(folder, "docker-config");
  mkdirSync(config);
  const auth = Buffer.from(`${username}:${password}`).toString("base64");
  const script = `#!/bin/sh\n[ "$1" = get ] && echo '${JSON.stringify({ Username: username, Secret: password })}'\n`;
  writeFileSync(join(folder, "bin/docker-credential-build-tests"), script, { mode: 0o755 });
  const forAll = <T>(value: T): Record<string, T> =>
    Object.fromEntries(SCHEMES.map((scheme) => [registries.hosts[scheme], value]));
  const content = where === "auths" ? { auths: forAll({ auth }) } : { credHelpers: forAll("build-tests") };
  writeFileSync(join(config, "config.json"), JSON.stringify(content));
  return { ...env, DOCKER_CONFIG: config };
}

/** Returns where the far machine has a password: in files of its user, in its engine, in logs, in processes. */
async function found(user: User): Promise<unknown> {
  const texts = [user.password, Buffer.from(`${user.username}:${user.password}`).toString("base64")];
  const patterns = texts.flatMap((text) => ["-e", text]);
  const grep = ["-rlF", "--devices=skip", ...patterns, twoMachines().far.folder];
  const { stdout } = await execa("grep", grep, { reject: false });
  return { files: stdout, processes: texts.flatMap(farProcessesWith) };
}

describe.skipIf(why)(`build: with a registry that requires a password, ${why ?? ""}`, () => {
  test.each<[AuthScheme, "auths" | "helper", string]>([
    ["basic", "auths", "far"],
    ["basic", "helper", "bare"],
    ["token", "auths", "bare"],
    ["token", "helper", "far"],
  ])("%s, from %s: ssh://%s pulls the base from it, and pushes to it", async (scheme, where, host) => {
    const own = loggedIn(USER, where);
    const registry = registries.hosts[scheme];
    const name = `build-pushed-${scheme}-${where}`;
    const context = project({ Dockerfile: `FROM ${baseOf(scheme)}\nCOPY . /app\n`, name });
    const options = ["--no-cache", "--pull", "--push"];
    const words = [...options, "-t", `${registry}/${name}:v1`, context, `ssh://${host}`];
    const run = await dos(["build", "--json", ...words], { env: own });
    expect(run).toEqual({ ...done, stdout: expect.any(String) as string });
    const manifest = await fetch(`${registries.open}/v2/${name}/manifests/v1`, {
      headers: { accept: "application/vnd.docker.distribution.manifest.v2+json" },
    });
    expect(manifest.headers.get("docker-content-digest")).toBe(builtIn(run).digest);
    expect(builtIn(run).digest).toMatch(/^sha256:/);
    expect(run.stdout + run.stderr).not.toContain(USER.password);
    await bed.far.docker("rmi", "--force", `${registry}/${name}:v1`);
    await bed.far.docker("builder", "prune", "--force"); // otherwise the next test finds the base
  });

  test("leaves the password nowhere on the far machine, while a step runs and afterwards", async () => {
    const own = loggedIn(USER);
    const registry = registries.hosts.basic;
    const context = project({ Dockerfile: `FROM ${baseOf("basic")}\nRUN echo begins; sleep 7352\n` });
    const words = ["--no-cache", "--pull", "-t", `${registry}/build-none:v1`, context, "ssh://far"];
    const run = startDos(["build", "--push", ...words], { env: own });
    await untilPrinted(run, " begins\n");
    expect(await found(USER)).toEqual({ files: "", processes: [] });
    run.kill("SIGINT");
    const { exitCode, stderr } = await run;
    expect(exitCode).toBe(130);
    expect(stderr).toContain(registry);
    expect(stderr).not.toContain(USER.password);
    expect(await found(USER)).toEqual({ files: "", processes: [] });
  });

  test.each<[string, AuthScheme]>([
    ["far", "basic"],
    ["bare", "token"],
  ])(
    "ssh://%s, %s: with a wrong password, neither pulls the base nor pushes, and names the registry",
    async (host, scheme) => {
      const own = loggedIn(WRONG);
      const registry = registries.hosts[scheme];
      const base = baseOf(scheme);
      const private_ = project({ Dockerfile: `FROM ${base}\nRUN true\n` }, "private");
      const from = await dos(["build", "--no-cache", "--pull", private_, `ssh://${host}`], { env: own });
      expect(from).toMatchObject({ exitCode: 15 });
      expect(from.stderr).toContain(`the base ${base} cannot be pulled from ${registry}`);
      const context = project({ Dockerfile: `FROM ${BASE}\n` }, "free");
      const words = ["--push", "-t", `${registry}/build-refused:v1`, context, `ssh://${host}`];
      const push = await dos(["build", ...words], { env: own });
      expect(push).toMatchObject({ exitCode: 18 });
      expect(push.stderr).toContain(`docker login ${registry}`);
      expect(from.stderr + push.stderr).not.toContain(USER.password);
    },
  );

  test("without a password, names the base that requires one", async () => {
    const context = project({ Dockerfile: `FROM ${baseOf("basic")}\nRUN true\n` });
    const run = await dos(["build", "--no-cache", "--pull", context, "ssh://far"], {
      env: { ...env, DOCKER_CONFIG: folder },
    });
    expect(run).toMatchObject({ exitCode: 15 });
    expect(run.stderr).toContain(`docker login ${registries.hosts.basic}`);
  });
});
