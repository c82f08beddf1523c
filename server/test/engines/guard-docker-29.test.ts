import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed as shared, why } from "../../../test/engines/bed.ts";
import { startRegistry, type OwnRegistry } from "../../../test/engines/registry.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import { whyNotKind } from "../../../test/testbed/engine-packages.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { startTestbed } from "../../../test/testbed/start.ts";
import type { Testbed } from "../../../test/testbed/testbed.ts";
import { newestFirst } from "../fixtures/guard/newest-first.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { contextIn, tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const whyNot = why ?? (await whyNotKind("29-containerd"));
const done = { exitCode: 0 };
const DOCKERFILE = `FROM ${BASE}\nCOPY file /file\nRUN cat /file > /made\nCMD cat /made\n`;
const FILES = { Dockerfile: DOCKERFILE, file: "content\n" };

let bed: Testbed;
let registry: OwnRegistry;

beforeAll(async () => {
  if (whyNot) return;
  bed = await startTestbed({ near: { kind: "29-containerd" }, far: { kind: "29" } });
  registry = await startRegistry(shared.near);
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await bed?.[Symbol.asyncDispose]();
});

describe.each([
  { kind: "29-containerd", side: "near" },
  { kind: "29", side: "far" },
] as const)(`the guard, with Docker $kind ${whyNot ?? ""}`, ({ side }) => {
  describe.skipIf(whyNot)("in front of it", () => {
    let engine: Engine;
    let folder: string;
    let guard: GuardProcess;
    let a: TenantCli;
    let b: TenantCli;
    const socketOf = (tenant: string): string => join(folder, `${tenant}.sock`);
    /** Returns the output of an image that the host runs */
    const run = async (name: string): Promise<string> =>
      (await engine.docker("run", "--rm", "--network", "none", `guard.internal/a/docker.io/library/${name}`)).stdout;

    beforeAll(async () => {
      if (whyNot) return;
      engine = bed[side];
      folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
      await importBase(engine);
      const tenants = ["a", "b"].flatMap((name) => ["--tenant", `name=${name},socket=${socketOf(name)}`]);
      const allowed = ["--allow-base", BASE, "--allow-push", `${registry.host}/*`];
      guard = await startGuard(folder, ["-H", engine.host, ...tenants, ...allowed], bed.env);
      a = await tenantCli(engine, { socket: socketOf("a"), folder });
      b = await tenantCli(engine, { socket: socketOf("b"), folder });
    });

    afterAll(async () => {
      if (whyNot) return;
      await guard?.[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    });

    test.each(["classic", "buildkit"] as const)(
      "%s: builds an image that is invisible to another tenant",
      async (builder) => {
        const name = `app:${builder}`;
        const context = contextIn(folder, FILES);
        expect(await a(["build", "--tag", name, context], { builder })).toMatchObject(done);
        expect(await run(name)).toBe("content");
        expect((await a(["images", "--format", "{{.Repository}}:{{.Tag}}"])).stdout).toContain(name);
        expect((await b(["images", "--all", "--quiet"])).stdout).toBe("");
        const id = (await a(["inspect", "--format", "{{.Id}}", name])).stdout;
        for (const words of [
          ["inspect", "--type", "image", id],
          ["tag", id, "mine:v1"],
          ["save", id],
        ])
          expect({ words, ...(await b([...words])) }).toMatchObject({ words, exitCode: 1 });
        const derived = contextIn(folder, { Dockerfile: `FROM ${name}\nRUN cat /made\n` });
        expect(await a(["build", "--tag", `derived:${builder}`, derived], { builder })).toMatchObject(done);
        expect((await b(["build", derived], { builder })).exitCode).not.toBe(0);
      },
    );

    test.skipIf(side === "far")("compose builds, with the default store", async () => {
      const compose = "services:\n  web:\n    image: web:v1\n    build: .\n";
      const cwd = contextIn(folder, { ...FILES, "compose.yaml": compose });
      expect(await a(["compose", "build"], { builder: "buildkit", cwd })).toMatchObject(done);
      expect(await run("web:v1")).toBe("content");
    });

    // Clients of Docker 29 use neither /grpc nor /session
    test.skipIf(side === "far")(
      "accepts gRPC on the socket itself, only for builds, with the default store",
      async () => {
        const builder = ["--builder", "direct"];
        const direct = async (words: readonly string[]) => await a(["buildx", ...words], { builder: "buildkit" });
        expect(
          await direct(["create", "--name", "direct", "--driver", "remote", `unix://${socketOf("a")}`]),
        ).toMatchObject(done);
        const context = contextIn(folder, FILES);
        const out = join(folder, `out-${side}`);
        expect(await direct(["build", ...builder, "--output", `type=local,dest=${out}`, context])).toMatchObject(done);
        expect(readFileSync(join(out, "made"), "utf8")).toBe("content\n");
        expect(await direct(["build", ...builder, "--output", "type=moby,name=direct:v1", context])).toMatchObject(
          done,
        );
        expect(await run("direct:v1")).toBe("content");
        await guard.line(/Control\/Session/);
        const insecure = ["build", ...builder, "--allow", "security.insecure", context];
        expect((await direct(insecure)).stderr).toContain("builds get no entitlement here");
      },
    );

    test.skipIf(side === "far")("pushes to an allowed registry, with the default store", async () => {
      const name = `${registry.host}/guard/twenty-nine:v1`;
      expect(await a(["build", "--tag", name, contextIn(folder, FILES)])).toMatchObject(done);
      expect(await a(["push", name])).toMatchObject(done);
      const answer = await fetch(`http://${registry.host}/v2/guard/twenty-nine/tags/list`);
      expect(await answer.json()).toMatchObject({ tags: ["v1"] });
      expect((await engine.listing()).references.filter((found) => found.startsWith("127.0.0.1"))).toEqual([]);
    });

    test("removes the images that it has built", async () => {
      const { stdout } = await a(["images", "--quiet", "--no-trunc"]);
      const ids = await newestFirst(a, stdout.split("\n"));
      expect(await a(["rmi", "--force", ...ids])).toMatchObject({ ...done, stderr: "" });
      expect((await engine.listing()).references.filter((name) => name.includes("guard.internal/"))).toEqual([]);
    });
  });
});
