import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, dos, why } from "../../../test/engines/bed.ts";
import { BASE, folder, project } from "../../../test/engines/build-projects.ts";
import { startPrivateRegistries, type PrivateRegistries, type User } from "../../../test/engines/private-registry.ts";
import { startService, type Service } from "../fixtures/service.ts";

const USER: User = { username: "serve-user", password: `serve-password-${randomBytes(8).toString("hex")}` };

let registries: PrivateRegistries;

beforeAll(async () => {
  if (!why) registries = await startPrivateRegistries(USER);
});

afterAll(async () => await registries?.[Symbol.asyncDispose]());

/** Starts the service with the far engine, which trusts the registry. */
async function service(...options: string[]): Promise<Service> {
  const words = ["--listen", "0", "-H", bed.far.host, "--data", join(folder, "data"), ...options];
  return await startService(words, { ...bed.env, HOME: folder, DOCKER_CONFIG: folder });
}

/** Runs curl like a client of the older service, and returns the JSON of the response. */
async function curl(...words: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await execa("curl", ["--silent", "--show-error", ...words]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Queries the status until it is final. Returns all values, in order. */
async function statuses(url: string, id: unknown): Promise<string[]> {
  const seen: string[] = [];
  for (;;) {
    const { Status } = await curl(`${url}/api/v1/${String(id)}/status`);
    if (seen.at(-1) !== Status) seen.push(String(Status));
    if (Status !== "Building" && Status !== "Pushing") return seen;
  }
}

/** Returns the digest of an image in the registry; null if it is missing. */
async function pushed(name: string): Promise<string | null> {
  const answer = await fetch(`${registries.open}/v2/${name}/manifests/latest`, {
    headers: { accept: "application/vnd.docker.distribution.manifest.v2+json" },
  });
  return answer.ok ? answer.headers.get("docker-content-digest") : null;
}

describe.skipIf(why)(`serve ${why ?? ""}`, () => {
  test("a client of tutum-builder: builds a Dockerfile in JSON, pushes with the password, and purges the image", async () => {
    await using server = await service();
    const registry = registries.hosts.basic;
    const { JobIdentifier: id } = await curl(
      "--json",
      JSON.stringify({
        image_name: `${registry}/serve/json`,
        username: USER.username,
        password: USER.password,
        email: "user@example.com",
        dockerfile: `FROM ${BASE}\nRUN head -c 3000000 /dev/urandom > /layer\n`,
      }),
      `${server.url}/api/v1/build`,
    );
    expect(id).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(await statuses(server.url, id)).toEqual(["Building", "Pushing", "Finished"]);
    const { Logs } = await curl(`${server.url}/api/v1/${String(id)}/logs`);
    expect(Logs).toContain("RUN head -c 3000000");
    expect(await pushed("serve/json")).toMatch(/^sha256:/);
    expect(await bed.far.docker("images", "--quiet", `${registry}/serve/json`)).toMatchObject({ stdout: "" });
    expect(JSON.stringify(Logs) + server.printed.join("\n")).not.toContain(USER.password);
  });

  test("a client of tutum-builder: accepts a tar as multipart, reports a wrong password as the status, and purges the image", async () => {
    await using server = await service();
    const registry = registries.hosts.basic;
    const context = project({
      Dockerfile: `FROM ${BASE}\nCOPY file /file\nRUN grep content /file\n`,
      file: "content\n",
    });
    const archive = join(folder, "context.tar.gz");
    await execa("tar", ["-czf", archive, "-C", context, "."]);
    const build = async (password: string) => {
      const json = { image_name: `${registry}/serve/tar`, username: USER.username, password, email: "" };
      const form = ["-F", `TarFile=@${archive}`, "-F", `Json=${JSON.stringify(json)}`];
      return await curl(...form, `${server.url}/api/v1/build`);
    };
    const good = await build(USER.password);
    expect((await statuses(server.url, good["JobIdentifier"])).at(-1)).toBe("Finished");
    expect(await pushed("serve/tar")).toMatch(/^sha256:/);
    const wrong = `${USER.password}-wrong`;
    const bad = await build(wrong);
    const [end = ""] = (await statuses(server.url, bad["JobIdentifier"])).slice(-1);
    expect(end).toContain("the push of");
    const { Logs } = await curl(`${server.url}/api/v1/${String(bad["JobIdentifier"])}/logs`);
    expect(end + JSON.stringify(Logs)).not.toContain(wrong);
    expect(await bed.far.docker("images", "--quiet", `${registry}/serve/tar`)).toMatchObject({ stdout: "" });
  });

  test("publish: builds the folder, pushes with this side's password, shows the log, and exits with the job's status", async () => {
    const tokens = join(folder, "tokens.json");
    const token = join(folder, "token");
    const made = await dos([
      "serve",
      "token",
      "ci",
      "--token-file",
      tokens,
      "--image",
      `${registries.hosts.basic}/serve/*`,
    ]);
    expect(made).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^dos_/) as string });
    writeFileSync(token, made.stdout, { mode: 0o600 });
    await using server = await service("--token-file", tokens);
    const auth = Buffer.from(`${USER.username}:${USER.password}`).toString("base64");
    writeFileSync(join(folder, "config.json"), JSON.stringify({ auths: { [registries.hosts.basic]: { auth } } }));
    const context = project({ Dockerfile: `FROM ${BASE}\nARG OK\nRUN echo "it is $OK"; test "$OK" = yes\n` });
    const publish = async (name: string, ...options: string[]) => {
      const env = { DOCKER_CONFIG: folder };
      return await dos(["publish", "--server", server.url, "--token-file", token, ...options, name, context], { env });
    };
    const good = await publish(`${registries.hosts.basic}/serve/published`, "--build-arg", "OK=yes");
    expect(good).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("it is yes") as string });
    expect(await pushed("serve/published")).toMatch(/^sha256:/);
    const failed = await publish(`${registries.hosts.basic}/serve/published`);
    expect(failed.exitCode).toBe(15);
    const refused = await publish(`${registries.hosts.basic}/others/published`);
    expect(refused.exitCode).toBe(13);
    expect(JSON.stringify([good, failed, refused, server.printed])).not.toContain(USER.password);
  });

  test("a restart in the middle of a build: the job runs again, and ends once", async () => {
    const registry = registries.hosts.basic;
    mkdirSync(join(folder, "data"), { recursive: true });
    const first = await service("--grace", "1s");
    const answer = await fetch(`${first.url}/api/v2/builds`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        name: `${registry}/serve/restart`,
        push: false,
        dockerfile: `FROM ${BASE}\nRUN echo begins; test -e /never || sleep 2\n`,
      }),
    });
    const { id } = (await answer.json()) as { id: string };
    await untilLogged(first.url, id, "begins");
    await first.end("SIGKILL");
    await using second = await service();
    const job = await untilOver(second.url, id);
    expect(job).toMatchObject({ state: "succeeded", attempts: 2 });
  });
});

/** Follows a log until it has this text. */
async function untilLogged(url: string, id: string, text: string): Promise<void> {
  const answer = await fetch(`${url}/api/v2/builds/${id}/logs?follow=true`, {
    headers: { accept: "text/plain" },
  });
  let log = "";
  for await (const chunk of answer.body ?? []) {
    log += Buffer.from(chunk as Uint8Array).toString();
    if (log.includes(text)) return;
  }
  throw new Error(`the log has ended without ${text}:\n${log}`);
}

/** Follows a log to its end, and returns the job. */
async function untilOver(url: string, id: string): Promise<Record<string, unknown>> {
  await (await fetch(`${url}/api/v2/builds/${id}/logs?follow=true`, { headers: { accept: "text/plain" } })).text();
  return (await (await fetch(`${url}/api/v2/builds/${id}`)).json()) as Record<string, unknown>;
}
