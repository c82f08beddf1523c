import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import { startRegistry, type OwnRegistry } from "../../../test/engines/registry.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { startTestbed } from "../../../test/testbed/start.ts";
import type { Testbed } from "../../../test/testbed/testbed.ts";
import {
  foreignIdsAreUnknown,
  ownFrontendsDoNotRun,
  returnsAreNotForged,
  sharedKeysAreApart,
  type GrpcScene,
} from "./guard-grpc-scene.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { contextIn, tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const done = { exitCode: 0 };

/** Runs every step in the order of a pipeline. */
const MULTI_STAGE = `FROM ${BASE} AS build
ARG GREETING=hello
RUN echo "$GREETING" > /made
VOLUME /data
FROM ${BASE}
COPY --from=build /made /made
COPY file /file
LABEL from=dockerfile
CMD cat /made /file
`;

/** What a client of its own tries, and on which engines */
const BY_HAND: readonly { what: string; fails: (scene: GrpcScene) => Promise<void>; kinds: readonly string[] }[] = [
  {
    what: "a context of another tenant by its key",
    fails: sharedKeysAreApart,
    kinds: ["20.10", "28.5", "28.5-containerd"],
  },
  { what: "a frontend of its own", fails: ownFrontendsDoNotRun, kinds: ["20.10", "28.5"] },
  { what: "an image of a forged config", fails: returnsAreNotForged, kinds: ["28.5", "28.5-containerd"] },
  // Ten seconds, in which the builder waits for the session
  { what: "another tenant's session, build or result by its ID", fails: foreignIdsAreUnknown, kinds: ["28.5"] },
];

let registry: OwnRegistry;
const beds: Testbed[] = [];

beforeAll(async () => {
  if (why) return;
  registry = await startRegistry(bed.near);
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  for (const one of beds) await one[Symbol.asyncDispose]();
});

/** An engine of its own with a guard for the tenants a, b and c, and what the host has. */
interface Guarded extends AsyncDisposable {
  engine: Engine;
  guard: GuardProcess;
  folder: string;
  a: TenantCli;
  b: TenantCli;
  /** A tenant that shares its cache, and may have little context */
  c: TenantCli;
  /** The CLI 20.10, of tenant a */
  oldest: TenantCli;
}

async function guarded(engine: Engine): Promise<Guarded> {
  const folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
  await importBase(engine);
  await engine.dockerWithInput([Buffer.alloc(1024)], ["import", "-", "host-secret:v1"]);
  const socket = (tenant: string): string => join(folder, `${tenant}.sock`);
  const more = { a: "", b: "", c: ",share-cache,max-context=1m" };
  const tenants = Object.entries(more).flatMap(([name, terms]) => [
    "--tenant",
    `name=${name},socket=${socket(name)}${terms}`,
  ]);
  const allowed = ["--allow-base", BASE, "--allow-push", `${registry.host}/*`];
  const guard = await startGuard(folder, ["-H", engine.host, ...tenants, ...allowed], bed.env);
  const cli = async (tenant: string, isOldest = false) =>
    await tenantCli(engine, { socket: socket(tenant), folder, isOldest });
  return {
    engine,
    guard,
    folder,
    a: await cli("a"),
    b: await cli("b"),
    c: await cli("c"),
    oldest: await cli("a", true),
    async [Symbol.asyncDispose]() {
      await guard[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Removes all images of a tenant: a build with several stages leaves some without a name, as at an engine. */
async function clear(cli: TenantCli): Promise<void> {
  const { stdout } = await cli(["images", "--quiet", "--no-trunc"]);
  if (stdout === "") return;
  expect(await cli(["rmi", "--force", ...new Set(stdout.split("\n"))])).toMatchObject(done);
}

/** Names on the engine that are a guard's. */
async function guardNames(engine: Engine): Promise<string[]> {
  return (await engine.listing()).references.filter((name) => name.includes("guard.internal/"));
}

describe.each([
  { kind: "20.10", side: "near", hasSourcePolicy: false },
  { kind: "26.1", side: "far", hasSourcePolicy: true },
  { kind: "28.5", side: "near", hasSourcePolicy: true },
  { kind: "28.5-containerd", side: "far", hasSourcePolicy: true },
] as const)(`the docker CLI through the guard ${why ?? ""}`, ({ kind, side, hasSourcePolicy }) => {
  describe.skipIf(why)(`of Docker ${kind}`, () => {
    let it: Guarded;
    /** A test of these engines alone */
    const only = (kinds: readonly string[]): typeof test | undefined => (kinds.includes(kind) ? test : undefined);
    const context = (files: Record<string, string>): string => contextIn(it.folder, files);
    /** What an image prints when the host runs it */
    const run = async (name: string): Promise<string> =>
      (await it.engine.docker("run", "--rm", "--network", "none", `guard.internal/${name}`)).stdout;

    beforeAll(async () => {
      if (why) return;
      const other = { near: "far", far: "near" } as const;
      const pair = { "20.10": "26.1", "26.1": "20.10", "28.5": "28.5-containerd", "28.5-containerd": "28.5" } as const;
      let own = beds.at(-1);
      if (side === "near" || own === undefined) {
        own = await startTestbed({ [side]: { kind }, [other[side]]: { kind: pair[kind] } });
        beds.push(own);
      }
      it = await guarded(own[side]);
    });

    afterEach(async () => {
      if (why) return;
      for (const cli of [it.a, it.b, it.c]) await clear(cli);
    });

    afterAll(async () => await it?.[Symbol.asyncDispose]());

    test.each(["classic", "buildkit"] as const)(
      "%s: builds, lists, tags, saves and removes its own images",
      async (builder) => {
        const files = context({ Dockerfile: MULTI_STAGE, file: "content\n" });
        const words = ["build", "--build-arg", "GREETING=hi", "--label", "own=label", "-t", `app:${builder}`, files];
        expect(await it.a(words, { builder })).toMatchObject(done);
        expect(await run(`a/docker.io/library/app:${builder}`)).toBe("hi\ncontent");
        expect(await it.a(["tag", `app:${builder}`, `${registry.host}/app:${builder}`])).toMatchObject(done);
        const images = await it.a(["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        const named = images.stdout.split("\n").filter((name) => name !== "<none>:<none>");
        expect(named.toSorted()).toEqual([`${registry.host}/app:${builder}`, `app:${builder}`].toSorted());
        expect((await it.b(["images", "--quiet"])).stdout).toBe("");
        const inspected = await it.a([
          "inspect",
          "--format",
          "{{json .Config.Labels}} {{json .RepoTags}}",
          `app:${builder}`,
        ]);
        expect(inspected.stdout).toContain('"own":"label"');
        expect(inspected.stdout).not.toContain("guard.internal/");
        expect((await it.a(["history", "--no-trunc", `app:${builder}`])).stdout).toContain("cat /made /file");
        const saved = join(it.folder, `${builder}.tar`);
        expect(await it.a(["save", "--output", saved, `app:${builder}`])).toMatchObject(done);
        expect((await bed.near.docker("load", "--input", saved)).stdout).toContain(`Loaded image: app:${builder}`);
        await bed.near.docker("rmi", `app:${builder}`);
        expect(await it.a(["rmi", `app:${builder}`, `${registry.host}/app:${builder}`])).toMatchObject(done);
        expect(await guardNames(it.engine)).toEqual([]);
      },
    );

    test.each(["classic", "buildkit"] as const)(
      "%s: a base is an own image, or one that is allowed",
      async (builder) => {
        const own = context({ Dockerfile: `FROM ${BASE}\nRUN echo own > /own\n` });
        expect(await it.a(["build", "-t", "base:v1", own], { builder })).toMatchObject(done);
        const app = context({ Dockerfile: "FROM base:v1\nRUN cat /own\n" });
        const built = await it.a(["build", "-t", "app:v1", app], { builder });
        if (builder === "buildkit" && !hasSourcePolicy) {
          expect(built).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("DOCKER_BUILDKIT=0") as string });
        } else {
          expect(built).toMatchObject(done);
        }
        for (const from of ["FROM host-secret:v1", `FROM ${BASE}\nCOPY --from=host-secret:v1 / /stolen`]) {
          const stealing = context({ Dockerfile: `${from}\n` });
          const { exitCode, stdout, stderr } = await it.a(["build", stealing], { builder });
          expect(exitCode).not.toBe(0);
          expect(stdout + stderr).toMatch(
            builder === "buildkit" && !hasSourcePolicy
              ? /uses a base that may not be used here/
              : /"?host-secret:v1"? is not a base that may be used here/,
          );
        }
        const foreign = context({ Dockerfile: "FROM base:v1\n" });
        expect((await it.b(["build", foreign], { builder })).exitCode).not.toBe(0);
        await it.a(["rmi", "--force", "app:v1", "base:v1"]);
      },
    );

    test("BuildKit: a cache mount, a secret, an ssh agent, files for the client", async () => {
      const agent = (await execa("ssh-agent", ["-s"])).stdout;
      const [, sock = "", pid = ""] = /SSH_AUTH_SOCK=([^;]+);[^]*SSH_AGENT_PID=(\d+)/.exec(agent) ?? [];
      try {
        writeFileSync(join(it.folder, "secret"), "the secret\n");
        const files = context({
          Dockerfile: `FROM ${BASE} AS steps
RUN --mount=type=cache,target=/cache echo kept >> /cache/file; cat /cache/file > /made
RUN --mount=type=secret,id=token cat /run/secrets/token >> /made
RUN --mount=type=ssh ssh-add -l >> /made 2>&1 || true
FROM scratch
COPY --from=steps /made /made
`,
        });
        const out = join(it.folder, "out");
        const secret = `id=token,src=${join(it.folder, "secret")}`;
        const words = [
          "buildx",
          "build",
          "--secret",
          secret,
          "--ssh",
          "default",
          "--output",
          `type=local,dest=${out}`,
          files,
        ];
        expect(await it.a(words, { builder: "buildkit", env: { SSH_AUTH_SOCK: sock } })).toMatchObject(done);
        expect(readFileSync(join(out, "made"), "utf8")).toBe("kept\nthe secret\nThe agent has no identities.\n");
        // The cache mount of the other tenant is another one.
        expect(await it.b(words, { builder: "buildkit", env: { SSH_AUTH_SOCK: sock } })).toMatchObject(done);
        expect(readFileSync(join(out, "made"), "utf8")).toMatch(/^kept\nthe secret\n/);
      } finally {
        process.kill(Number(pid));
      }
    });

    only(["20.10", "28.5"])?.each(["classic", "buildkit"] as const)(
      "the CLI 20.10 builds, with the builder %s",
      async (builder) => {
        const files = context({ Dockerfile: MULTI_STAGE, file: "content\n" });
        expect(await it.oldest(["build", "-t", "oldest:v1", files], { builder })).toMatchObject(done);
        expect(await run("a/docker.io/library/oldest:v1")).toBe("hello\ncontent");
        await clear(it.oldest);
      },
    );

    only(["20.10", "28.5"])?.each(["classic", "buildkit"] as const)(
      "%s: a context that is larger than the tenant's ends its build with the reason",
      async (builder) => {
        const files = context({ Dockerfile: `FROM ${BASE}\nCOPY file /file\n`, file: "x".repeat(5_000_000) });
        const { exitCode, stdout, stderr } = await it.c(["build", files], { builder });
        expect(exitCode).not.toBe(0);
        expect(stdout + stderr).toMatch(
          builder === "classic"
            ? /the body is larger than 1048576 bytes/
            : /the context is larger than the 1048576 bytes/,
        );
        writeFileSync(join(files, "file"), "x".repeat(900_000));
        expect(await it.c(["build", files], { builder })).toMatchObject(done);
      },
    );

    only(["20.10", "28.5"])?.(
      "BuildKit: a step of one tenant is not another's, whatever host that one adds",
      async () => {
        const random = `FROM ${BASE}\nRUN cat /proc/sys/kernel/random/uuid > /id\nCMD cat /id\n`;
        const files = context({ Dockerfile: random });
        const words = ["build", "-t", "random:v1", files];
        for (const cli of [it.a, it.b]) expect(await cli(words, { builder: "buildkit" })).toMatchObject(done);
        expect(await run("a/docker.io/library/random:v1")).not.toBe(await run("b/docker.io/library/random:v1"));
        const asA = await it.c([...words, "--add-host", "cache-a.guard.internal:127.0.0.1"], { builder: "buildkit" });
        expect(asA).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("is the guard's own") as string });
      },
    );

    only(["20.10", "28.5"])?.("compose builds", async () => {
      const files = context({
        "compose.yaml": "services:\n  web:\n    image: web:v1\n    build: .\n",
        Dockerfile: MULTI_STAGE,
        file: "content\n",
      });
      expect(await it.a(["compose", "build"], { builder: "buildkit", cwd: files })).toMatchObject(done);
      expect(await it.a(["rmi", "web:v1"])).toMatchObject(done);
    });

    // The guard of the far machine is here: its engine cannot reach it.
    only(["20.10", "28.5"])?.("pushes to a registry that is allowed, and to no other", async () => {
      const files = context({ Dockerfile: MULTI_STAGE, file: "content\n" });
      const name = `${registry.host}/guard/${kind}:v1`;
      expect(await it.a(["build", "-t", name, files])).toMatchObject(done);
      const pushed = await it.a(["push", name]);
      expect(pushed).toMatchObject(done);
      expect(pushed.stdout).toContain(`The push refers to repository [${registry.host}/guard/${kind}]`);
      expect((await fetch(`http://${registry.host}/v2/guard/${kind}/manifests/v1`)).status).toBe(200);
      await it.a(["tag", name, "registry.example.com/app:v1"]);
      const refused = await it.a(["push", "registry.example.com/app:v1"]);
      expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(registry.host) as string });
      await it.a(["rmi", name, "registry.example.com/app:v1"]);
      expect(
        (await it.engine.listing()).references.filter((found) => /127\.0\.0\.1|guard\.internal/.test(found)),
      ).toEqual([]);
    });

    // The oldest engine, and the other kind of store.
    only(["20.10", "28.5-containerd"])?.(
      "two tenants cannot see, overwrite, run, export or push each other's images, nor the host's",
      async () => {
        const files = context({ Dockerfile: `FROM ${BASE}\nRUN echo of a > /who\nCMD cat /who\n` });
        expect(await it.a(["build", "-t", "app:v1", files])).toMatchObject(done);
        const id = (await it.a(["images", "--quiet", "--no-trunc", "app:v1"])).stdout;
        const hostId = (await it.engine.docker("images", "--quiet", "--no-trunc", "host-secret:v1")).stdout;
        const own = "guard.internal/a/docker.io/library/app:v1";
        for (const name of ["app:v1", id, id.slice(7, 19), own, hostId, "host-secret:v1", BASE]) {
          for (const words of [
            ["inspect", "--type", "image", name],
            ["history", name],
            ["tag", name, "mine:v1"],
            ["rmi", name],
            ["save", "--output", join(it.folder, "stolen.tar"), name],
            ["push", name],
            ["run", "--rm", name],
            ["create", name],
          ]) {
            const { exitCode } = await it.b(words);
            expect({ words, exitCode }).toEqual({ words, exitCode: exitCode === 0 ? "refused" : exitCode });
          }
        }
        expect((await it.b(["images", "--all", "--quiet"])).stdout).toBe("");
        const overwriting = context({ Dockerfile: `FROM ${BASE}\nRUN echo of b > /who\nCMD cat /who\n` });
        expect(await it.b(["build", "-t", "app:v1", "-t", "host-secret:v1", overwriting])).toMatchObject(done);
        expect(await run("a/docker.io/library/app:v1")).toBe("of a");
        expect((await it.engine.docker("images", "--quiet", "--no-trunc", "host-secret:v1")).stdout).toBe(hostId);
        await it.a(["rmi", "app:v1"]);
        await it.b(["rmi", "app:v1", "host-secret:v1"]);
        expect(await guardNames(it.engine)).toEqual([]);
      },
    );

    test.for(BY_HAND.filter(({ kinds }) => kinds.includes(kind)))(
      "a client that speaks gRPC by hand does not get $what",
      async ({ fails }) => {
        const [a, b] = ["a", "b"].map((tenant) => join(it.folder, `${tenant}.sock`)) as [string, string];
        await expect(fails({ engine: it.engine, a, b })).resolves.toBeUndefined();
      },
    );

    // The answers are the guard's alone.
    only(["28.5"])?.each([
      ["run", "--rm", "--privileged", BASE],
      ["run", "-v", "/:/host", BASE],
      ["exec", "some", "id"],
      ["cp", "some:/etc/shadow", "."],
      ["ps"],
      ["pull", BASE],
      ["load", "--input", "saved.tar"],
      ["import", "saved.tar"],
      ["commit", "some"],
      ["volume", "ls"],
      ["network", "ls"],
      ["swarm", "init"],
      ["service", "ls"],
      ["plugin", "ls"],
      ["secret", "ls"],
      ["system", "df"],
      ["container", "prune", "--force"],
    ])("refuses docker %s %s with a sentence", async (...words) => {
      writeFileSync(join(it.folder, "saved.tar"), Buffer.alloc(1024));
      const { exitCode, stderr } = await it.a(words);
      expect(exitCode).not.toBe(0);
      expect(stderr).toMatch(/is not allowed here|No container can be used here/);
    });
  });
});

describe.skipIf(why)(`guard --bind-local ${why ?? ""}`, () => {
  test("docker builds a Dockerfile with volumes at the folder's socket", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
    mkdirSync(join(folder, "socket"));
    await importBase(bed.near);
    const options = ["-H", bed.near.host, "--bind-local", join(folder, "socket"), "--allow-base", BASE];
    {
      await using guard = await startGuard(folder, options, bed.env);
      expect(guard.printed.join("\n")).toContain("docker.sock");
      const docker = await tenantCli(bed.near, { socket: join(folder, "socket/docker.sock"), folder });
      const files = contextIn(folder, { Dockerfile: `FROM ${BASE}\nVOLUME /one /two\nRUN touch /three\n` });
      for (const builder of ["classic", "buildkit"] as const)
        expect(await docker(["build", "-t", builder, files], { builder })).toMatchObject(done);
      expect((await docker(["images", "--format", "{{.Repository}}"])).stdout.split("\n").toSorted()).toEqual([
        "buildkit",
        "classic",
      ]);
      expect(await docker(["rmi", "classic", "buildkit"])).toMatchObject(done);
      expect(await guard.end("SIGTERM")).toEqual(done);
    }
    rmSync(folder, { recursive: true });
  });
});
