import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { startPasswordRegistry } from "../../../test/engines/password-registry.ts";
import type { OwnRegistry } from "../../../test/engines/registry.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { startTestbed } from "../../../test/testbed/start.ts";
import type { Testbed } from "../../../test/testbed/testbed.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { contextIn, tenantCli, type Ended, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const USER = { username: "ann", password: "correct-horse" };
const WRONG = "battery-staple";
const done = { exitCode: 0 };
const QUOTA = 200_000;

let registry: OwnRegistry;

beforeAll(async () => {
  if (why) return;
  registry = await startPasswordRegistry(bed.near, USER);
});

afterAll(async () => await registry?.[Symbol.asyncDispose]());

/** An entry in the format of `docker login` */
const authOf = (password: string) => ({
  [registry.host]: { auth: Buffer.from(`${USER.username}:${password}`).toString("base64") },
});

describe.each(["20.10", "28.5"] as const)(`a registry with a password, through the guard ${why ?? ""}`, (kind) => {
  describe.skipIf(why)(`of Docker ${kind}`, () => {
    let own: Testbed | undefined;
    let engine: Engine;
    let folder: string;
    let guard: GuardProcess;
    let known: TenantCli;
    let wrong: TenantCli;
    let nobody: TenantCli;
    /** The CLI of a tenant whose credentials the guard has; its docker config has none */
    let held: TenantCli;
    let base: string;
    let other: string;

    /** Builds an image of the host, with `WHO` in its environment. */
    const hostImage = async (name: string, who: string): Promise<void> => {
      const dockerfile = Buffer.from(`FROM ${BASE}\nENV WHO=${who}\n`);
      await engine.dockerWithInput([dockerfile], ["build", "--tag", name, "-"], { DOCKER_BUILDKIT: "0" });
    };
    const whoIs = async (name: string): Promise<string> =>
      /WHO=(\w+)/.exec((await engine.docker("inspect", "--format", "{{.Config.Env}}", name)).stdout)?.[1] ?? "";

    beforeAll(async () => {
      if (why) return;
      own = kind === "28.5" ? await startTestbed({ near: { kind }, far: { kind: "20.10" } }) : undefined;
      engine = (own ?? bed).near;
      folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
      await importBase(engine);
      base = `${registry.host}/base-${kind}:v1`;
      other = `${registry.host}/other-${kind}:v1`;
      const host = await tenantCli(engine, { socket: engine.description.socket, folder, auths: authOf(USER.password) });
      for (const name of [base, other]) {
        await hostImage(name, "registry");
        expect(await host(["push", name])).toMatchObject(done);
        await engine.docker("rmi", name);
        await hostImage(name, "host");
      }
      const socket = join(folder, "team.sock");
      const terms = [`allow-pull=${registry.host}/base-*`, `allow-push=${registry.host}/team/*`, `allow-base=${BASE}`];
      const config = join(folder, "guard-config.json");
      writeFileSync(config, JSON.stringify({ auths: authOf(USER.password) }));
      const heldSocket = join(folder, "held.sock");
      const tenants = [
        ["name=team", `socket=${socket}`, ...terms, `max-push=${QUOTA}`],
        ["name=held", `socket=${heldSocket}`, ...terms, `registry-config=${config}`],
      ].flatMap((fields) => ["--tenant", fields.join(",")]);
      guard = await startGuard(folder, ["-H", engine.host, ...tenants], bed.env);
      held = await tenantCli(engine, { socket: heldSocket, folder });
      known = await tenantCli(engine, { socket, folder });
      wrong = await tenantCli(engine, { socket, folder, auths: authOf(WRONG) });
      nobody = await tenantCli(engine, { socket, folder });
      expect(await login(known, USER.password)).toMatchObject(done);
    });

    afterAll(async () => {
      if (why) return;
      await guard?.[Symbol.asyncDispose]();
      if (own === undefined) {
        const names = (await engine.listing()).references.filter((name) =>
          /^guard\.internal\/(?:team|held)\/|^127/.test(name),
        );
        await engine.docker("rmi", "--force", ...names);
      }
      await own?.[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    });

    const digestOf = async (name: string): Promise<string> => {
      const [, repository = "", tag = ""] = /^[^/]+\/(.*):(.*)$/.exec(name) ?? [];
      const headers = {
        accept: "application/vnd.docker.distribution.manifest.v2+json",
        authorization: `Basic ${authOf(USER.password)[registry.host]?.auth}`,
      };
      const answer = await fetch(`http://${registry.host}/v2/${repository}/manifests/${tag}`, { headers });
      return answer.headers.get("docker-content-digest") ?? "";
    };

    const login = async (cli: TenantCli, password: string): Promise<Ended> =>
      await cli(["login", "--username", USER.username, "--password-stdin", registry.host], { input: password });

    const build = async (
      cli: TenantCli,
      from: string,
      tag: string,
      builder: "classic" | "buildkit",
    ): Promise<Ended> => {
      const context = contextIn(folder, { Dockerfile: `FROM ${from}\nRUN echo "made of $WHO"\n` });
      return await cli(["build", "--no-cache", "--tag", tag, context], { builder });
    };

    test("docker login rejects a wrong password, and no audit line contains one", async () => {
      const refused = await login(nobody, WRONG);
      expect(refused).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/unauthorized/i) as string,
      });
      const elsewhere = await known(["login", "-u", "ann", "-p", WRONG, "127.0.0.1:1"]);
      expect(elsewhere.stderr).toContain("is not a registry to which this tenant may push");
      const output = [refused.stderr, ...guard.printed].join("\n");
      expect(output).toContain('"rule":"login.failed"');
      for (const secret of [WRONG, USER.password]) expect(output).not.toContain(secret);
    });

    test.each(["classic", "buildkit"] as const)(
      "%s: pulls a base from the registry for a tenant with its password",
      async (builder) => {
        const tag = `made:${builder}`;
        expect(await build(known, base, tag, builder)).toMatchObject(done);
        expect(await whoIs(`guard.internal/team/docker.io/library/${tag}`)).toBe("registry");
        expect(await whoIs(base)).toBe("host");
        const pinned = `${base}@${await digestOf(base)}`;
        expect(await build(known, pinned, tag, builder)).toMatchObject(done);
        // Even where the engine already has it, in BuildKit's cache or as an image
        const denied = [
          [wrong, base],
          [nobody, base],
          [nobody, pinned],
          [nobody, pinned.replace(":v1@", "@")],
        ] as const;
        for (const ended of await Promise.all(denied.map(([cli, from]) => build(cli, from, "stolen:v1", builder)))) {
          expect(ended.exitCode).not.toBe(0);
          expect(ended.stdout + ended.stderr).toMatch(
            /unauthorized|no basic auth credentials|authorization failed|authentication required|write a tag before/i,
          );
        }
        const refused = await build(known, other, "other:v1", builder);
        expect(refused.exitCode).not.toBe(0);
        expect(refused.stdout + refused.stderr).toMatch(/base that may (?:not )?be used here/);
        expect((await known(["images", "--format", "{{.Repository}}"])).stdout).not.toMatch(/stolen|other/);
      },
    );

    test("--registry-config: a tenant without a password pulls a base and pushes, and never sees the guard's password", async () => {
      const name = `${registry.host}/team/held-${kind}:v1`;
      const ended = [
        await build(held, base, name, "classic"),
        await held(["push", name]),
        await build(held, base, "held:buildkit", "buildkit"),
        await held(["history", "--no-trunc", name]),
        await held(["inspect", name]),
        await held(["info"]),
      ];
      // BuildKit queries only the client, which has no password.
      expect(ended.map(({ exitCode }) => exitCode)).toEqual([0, 0, 1, 0, 0, 0]);
      expect(await whoIs(`guard.internal/held/${name.replace(":", "__")}`)).toBe("registry");
      expect(await digestOf(name)).toMatch(/^sha256:/);
      const output = [...ended.flatMap(({ stdout, stderr }) => [stdout, stderr]), ...guard.printed].join("\n");
      expect(output).toContain('"tenant":"held","call":"POST /v1.');
      const commandLine = readFileSync(`/proc/${guard.pid}/cmdline`, "utf8");
      for (const secret of [USER.password, authOf(USER.password)[registry.host]?.auth ?? ""]) {
        expect(output).not.toContain(secret);
        expect(commandLine).not.toContain(secret);
      }
    });

    test("pushes with the password until the quota of bytes is used up", async () => {
      const name = (tag: string): string => `${registry.host}/team/app-${kind}:${tag}`;
      const buildOf = async (tag: string, bytes: number): Promise<void> => {
        const file = randomBytes(bytes).toString("hex"); // gzip halves it
        const context = contextIn(folder, { Dockerfile: "FROM scratch\nCOPY file /\n", file });
        expect(await known(["build", "--tag", name(tag), context])).toMatchObject(done);
      };
      await buildOf("small", 1000);
      await buildOf("large", 2 * QUOTA);
      for (const cli of [wrong, nobody]) {
        const refused = { exitCode: 1, stderr: expect.stringContaining("unauthorized") as string };
        expect(await cli(["push", name("small")])).toMatchObject(refused);
      }
      expect(await known(["push", name("small")])).toMatchObject(done);
      for (const tag of ["large", "small-2"]) {
        if (tag !== "large") await buildOf(tag, 1000);
        const ended = {
          exitCode: 1,
          stderr: expect.stringContaining("this tenant has pushed all bytes that it may push in 24 hours") as string,
        };
        expect(await known(["push", name(tag)])).toMatchObject(ended);
      }
      const headers = { authorization: `Basic ${authOf(USER.password)[registry.host]?.auth}` };
      const answer = await fetch(`http://${registry.host}/v2/team/app-${kind}/tags/list`, { headers });
      expect(await answer.json()).toMatchObject({ tags: ["small"] });
    });
  });
});
