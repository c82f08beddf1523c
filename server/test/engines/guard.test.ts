import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE } from "../../../test/testbed/build-base.ts";
import { startRegistry, type OwnRegistry } from "../../../test/engines/registry.ts";
import { startTestbed } from "../../../test/testbed/start.ts";
import type { Testbed } from "../../../test/testbed/testbed.ts";
import { imagesAreIsolated } from "./guard-isolation-scene.ts";
import {
  dryRunRefusesNothing,
  hostIsHidden,
  requestsAreAudited,
  onlyAllowedSourcesAreFetched,
  stepsBelongToTheTenant,
  versionsMatchTheEngine,
} from "./guard-docker-scene.ts";
import {
  foreignIdsAreUnknown,
  ownFrontendsDoNotRun,
  returnsAreNotForged,
  sharedKeysAreIsolated,
  type GrpcScene,
} from "./guard-grpc-scene.ts";
import { recordsAreIsolated } from "./guard-cache-scene.ts";
import { minutesEndBuilds, quotasHold, stepsAreLimited, unlimitedStepsDoNotRun } from "./guard-limits-scene.ts";
import { clear, guarded, guardNames, runOnHost, type Guarded } from "./guarded-engine.ts";
import { contextIn } from "../fixtures/guard/tenant-cli.ts";

const done = { exitCode: 0 };

/** Runs every step in a fixed order. */
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

/** Attacks of a custom client, and the engines on which they are tried */
const BY_HAND: readonly { what: string; fails: (scene: GrpcScene) => Promise<void>; kinds: readonly string[] }[] = [
  {
    what: "a context of another tenant by its key",
    fails: sharedKeysAreIsolated,
    kinds: ["20.10", "28.5", "28.5-containerd"],
  },
  { what: "a frontend of its own", fails: ownFrontendsDoNotRun, kinds: ["20.10", "28.5"] },
  { what: "an image of a forged config", fails: returnsAreNotForged, kinds: ["28.5", "28.5-containerd"] },
  // Takes ten seconds, in which the builder waits for the session
  { what: "another tenant's session, build or result by its ID", fails: foreignIdsAreUnknown, kinds: ["28.5"] },
];

let registry: OwnRegistry;
/** ADD may fetch only addresses below /open/. */
const source = { url: "", requests: [] as string[] };
let server: Server;

beforeAll(async () => {
  if (why) return;
  registry = await startRegistry(bed.near);
  server = createServer(({ method, url }, response) => {
    source.requests.push(`${method} ${url}`);
    response.end(`GET ${url}`);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  source.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  server?.close().closeAllConnections();
});

// Each engine is the near one of its bed, because engines push through a port that the guard opens on their machine.
describe.each([
  { kind: "20.10", hasSourcePolicy: false },
  { kind: "26.1", hasSourcePolicy: true },
  { kind: "28.5", hasSourcePolicy: true },
  { kind: "28.5-containerd", hasSourcePolicy: true },
] as const)(`the docker CLI through the guard ${why ?? ""}`, ({ kind, hasSourcePolicy }) => {
  describe.skipIf(why)(`of Docker ${kind}`, () => {
    let own: Testbed | undefined;
    let it: Guarded;
    /** Returns `test` only for these engines */
    const only = (kinds: readonly string[]): typeof test | undefined => (kinds.includes(kind) ? test : undefined);
    const context = (files: Record<string, string>): string => contextIn(it.folder, files);
    /** Returns the output of an image of tenant a that the host runs */
    const run = async (name: string): Promise<string> => await runOnHost(it, "a", name);

    beforeAll(async () => {
      if (why) return;
      own = kind === "20.10" ? undefined : await startTestbed({ near: { kind } });
      it = await guarded((own ?? bed).near, { registry: registry.host, source: `${source.url}/open/` });
    });

    afterEach(async () => {
      if (why) return;
      for (const cli of [it.a, it.b, it.c, it.d]) await clear(cli);
    });

    afterAll(async () => {
      await it?.[Symbol.asyncDispose]();
      await own?.[Symbol.asyncDispose]();
    });

    test.each(["classic", "buildkit"] as const)(
      "%s: builds, lists, tags, saves and removes its own images",
      async (builder) => {
        const files = context({ Dockerfile: MULTI_STAGE, file: "content\n" });
        const words = ["build", "--build-arg", "GREETING=hi", "--label", "own=label", "-t", `app:${builder}`, files];
        expect(await it.a(words, { builder })).toMatchObject(done);
        expect(await run(`app:${builder}`)).toBe("hi\ncontent");
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
      "%s: accepts own images and allowed images as bases",
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

    test("BuildKit: supports a cache mount, a secret, an ssh agent, and files for the client", async () => {
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
        // The other tenant's cache mount is separate.
        expect(await it.b(words, { builder: "buildkit", env: { SSH_AUTH_SOCK: sock } })).toMatchObject(done);
        expect(readFileSync(join(out, "made"), "utf8")).toMatch(/^kept\nthe secret\n/);
      } finally {
        process.kill(Number(pid));
      }
    });

    only(["20.10", "26.1", "28.5"])?.each(["classic", "buildkit"] as const)(
      "the CLI 20.10 builds, with the builder %s",
      async (builder) => {
        const files = context({ Dockerfile: MULTI_STAGE, file: "content\n" });
        expect(await it.oldest(["build", "-t", "oldest:v1", files], { builder })).toMatchObject(done);
        expect(await run("oldest:v1")).toBe("hello\ncontent");
        await clear(it.oldest);
      },
    );

    test("compose builds", async () => {
      const files = context({
        "compose.yaml": "services:\n  web:\n    image: web:v1\n    build: .\n",
        Dockerfile: MULTI_STAGE,
        file: "content\n",
      });
      expect(await it.a(["compose", "build"], { builder: "buildkit", cwd: files })).toMatchObject(done);
      expect(await it.a(["rmi", "web:v1"])).toMatchObject(done);
    });

    test("pushes to an allowed registry, and to no other", async () => {
      const files = context({ Dockerfile: MULTI_STAGE, file: "content\n" });
      const name = `${registry.host}/guard/${kind}:v1`;
      expect(await it.a(["build", "-t", name, files])).toMatchObject(done);
      const pushed = await it.a(["push", name]);
      expect(pushed).toMatchObject(done);
      expect(pushed.stdout).toContain(`The push refers to repository [${registry.host}/guard/${kind}]`);
      const tags = await fetch(`http://${registry.host}/v2/guard/${kind}/tags/list`);
      expect(await tags.json()).toMatchObject({ tags: ["v1"] });
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
      "two tenants cannot see, overwrite, run, export or push each other's images or the host's",
      async () => {
        await expect(imagesAreIsolated(it, registry.host)).resolves.toBeUndefined();
      },
    );

    only(["20.10", "28.5"])?.each(["classic", "buildkit"] as const)(
      "%s: ends a build whose context exceeds the tenant's limit, with the reason",
      async (builder) => {
        const files = context({ Dockerfile: `FROM ${BASE}\nCOPY file /file\n`, file: "x".repeat(5_000_000) });
        const { exitCode, stdout, stderr } = await it.c(["build", files], { builder });
        expect(exitCode).not.toBe(0);
        expect(stdout + stderr).toMatch(
          builder === "classic"
            ? /the body is larger than the allowed 1048576 bytes/
            : /the context is larger than the allowed 1048576 bytes/,
        );
        writeFileSync(join(files, "file"), "x".repeat(900_000));
        expect(await it.c(["build", files], { builder })).toMatchObject(done);
      },
    );

    test("supports each version of the API that the engine supports, and no other", async () => {
      await expect(versionsMatchTheEngine(it)).resolves.toBeUndefined();
    });

    test("docker info and docker version reveal nothing about the host, and print no warnings", async () => {
      await expect(hostIsHidden(it)).resolves.toBeUndefined();
    });

    only(["20.10", "28.5"])?.(
      "BuildKit: only tenants that share a cache share the result of a step, even with added hosts",
      async () => {
        await expect(stepsBelongToTheTenant(it)).resolves.toBeUndefined();
      },
    );

    only(["20.10", "28.5"])?.each(["classic", "buildkit"] as const)(
      "%s: ADD fetches an allowed address, and sends no request to another one",
      async (builder) => {
        await expect(onlyAllowedSourcesAreFetched(it, builder, source)).resolves.toBeUndefined();
      },
    );

    only(["28.5"])?.("writes an audit line for each request, and counts it", async () => {
      await expect(requestsAreAudited(it)).resolves.toBeUndefined();
    });

    only(["28.5"])?.(
      "--dry-run: builds and containers work like at the engine, and audit lines show what would be refused",
      async () => {
        await expect(dryRunRefusesNothing(it)).resolves.toBeUndefined();
      },
    );

    test.for(BY_HAND.filter(({ kinds }) => kinds.includes(kind)))(
      "a custom gRPC client does not get $what",
      async ({ fails }) => {
        const [a, b] = ["a", "b"].map((tenant) => join(it.folder, `${tenant}.sock`)) as [string, string];
        await expect(fails({ engine: it.engine, a, b })).resolves.toBeUndefined();
      },
    );

    only(["20.10", "28.5"])?.("classic: gives steps the limits of their tenant", async () => {
      await expect(stepsAreLimited(it, "classic")).resolves.toBeUndefined();
    });

    only(["28.5"])?.each(["buildkit", "version=2"] as const)(
      "%s: gives steps the limits of their tenant",
      async (client) => {
        await expect(stepsAreLimited(it, client)).resolves.toBeUndefined();
      },
    );

    only(["20.10"])?.("BuildKit: does not run steps without their limits", async () => {
      await expect(unlimitedStepsDoNotRun(it)).resolves.toBeUndefined();
    });

    only(["28.5"])?.each(["classic", "buildkit"] as const)(
      "%s: enforces a tenant's quotas of images, bytes and builds",
      async (builder) => {
        await expect(quotasHold(it, builder)).resolves.toBeUndefined();
      },
    );

    only(["28.5"])?.("ends a build whose minutes are used up, with the reason", async () => {
      await expect(minutesEndBuilds(it)).resolves.toBeUndefined();
    });

    only(["28.5"])?.("BuildKit: lets a tenant see and remove its own cache records", async () => {
      await expect(recordsAreIsolated(it)).resolves.toBeUndefined();
    });

    // These answers come from the guard alone.
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
      expect(stderr).toMatch(/is not allowed here|This guard offers no containers/);
    });
  });
});
