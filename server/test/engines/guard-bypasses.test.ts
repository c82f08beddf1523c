import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBinary, create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import type { Engine } from "../../../test/testbed/engine.ts";
import { startTestbed } from "../../../test/testbed/start.ts";
import { fileEntry, tar } from "../../../test/testbed/tar.ts";
import type { Testbed } from "../../../test/testbed/testbed.ts";
import { SolveRequestSchema } from "../../src/guard/buildkit/gen/control_pb.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { contextIn, tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const HOST_IMAGE = "bypass-secret:v1";
const HEAD = "Host: docker\r\nContent-Type: application/json\r\n";
const CREATE = "/v1.41/containers/create";
/** A container with access to the host's files */
const PRIVILEGED = JSON.stringify({ Image: BASE, HostConfig: { Binds: ["/:/host"], Privileged: true } });
/** An empty SETTINGS frame after the preface of HTTP/2 */
const HTTP2_BEGIN = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** Known bypasses of filters of Docker's socket, on real engines: no such request may reach the engine. */
describe.skipIf(why).each(["20.10", "28.5-containerd"] as const)(
  `known bypasses of filters, through the guard of Docker %s ${why ?? ""}`,
  (kind) => {
    let own: Testbed | undefined;
    let engine: Engine;
    let folder: string;
    let guard: GuardProcess;
    let a: TenantCli;
    let b: TenantCli;
    const socketOf = (tenant: string): string => join(folder, `${tenant}.sock`);
    const context = (dockerfile: string): string => contextIn(folder, { Dockerfile: dockerfile });

    beforeAll(async () => {
      if (why) return;
      own = kind === "20.10" ? undefined : await startTestbed({ near: { kind } });
      engine = (own ?? bed).near;
      folder = mkdtempSync(join(tmpdir(), "dos-bypass-"));
      await importBase(engine);
      const secret = ["import", "--change", "ENV PASSWORD=hunter2", "-", HOST_IMAGE];
      await engine.dockerWithInput([Buffer.alloc(1024)], secret);
      const tenants = ["a", "b"].flatMap((name) => ["--tenant", `name=${name},socket=${socketOf(name)}`]);
      guard = await startGuard(folder, ["-H", engine.host, ...tenants, "--allow-base", BASE], bed.env);
      a = await tenantCli(engine, { socket: socketOf("a"), folder });
      b = await tenantCli(engine, { socket: socketOf("b"), folder });
      const built = ["build", "-t", "app:v1", context(`FROM ${BASE}\nENV PASSWORD=hunter3\n`)];
      expect(await a(built)).toMatchObject({ exitCode: 0 });
    });

    afterAll(async () => {
      if (why) return;
      if (own === undefined) {
        const names = (await engine.listing()).references.filter((name) => /^guard\.internal\/[ab]\//.test(name));
        await engine.docker("rmi", "--force", HOST_IMAGE, ...names);
      }
      await guard?.[Symbol.asyncDispose]();
      await own?.[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    });

    /**
     * Sends text unchanged. Resolves with the received data when the guard closes the connection, or with the first
     * answer.
     */
    const send = async (text: string | Buffer, until: RegExp = /^HTTP\/1\.1 .*\}\n/s): Promise<string> =>
      await new Promise((resolve) => {
        const socket = connect(socketOf("b"));
        let seen = "";
        socket.on("data", (chunk: Buffer) => {
          seen += chunk.toString("latin1");
          if (until.test(seen)) socket.destroy();
        });
        socket.on("error", () => {});
        socket.once("close", () => resolve(seen));
        socket.write(text);
      });

    /**
     * Sends a gRPC call with one message.
     *
     * @returns the error's sentence
     */
    const call = async (path: string, message: Uint8Array): Promise<string> => {
      const session = connectHttp2("http://guard", { createConnection: () => connect(socketOf("b")) });
      try {
        const headers: OutgoingHttpHeaders = { ":method": "POST", ":path": path, "content-type": "application/grpc" };
        const stream = session.request({ ...headers, te: "trailers" });
        const frame = Buffer.alloc(5);
        frame.writeUInt32BE(message.length, 1);
        stream.end(Buffer.concat([frame, message]));
        return await new Promise((resolve, reject) => {
          const read = (found: OutgoingHttpHeaders): void => {
            if (found["grpc-message"] !== undefined) resolve(decodeURIComponent(String(found["grpc-message"])));
          };
          stream.on("response", read).on("trailers", read).on("error", reject).resume();
          stream.once("end", () => resolve(""));
        });
      } finally {
        session.destroy();
      }
    };
    const solve = async (request: MessageInitShape<typeof SolveRequestSchema>): Promise<string> =>
      await call(
        "/moby.buildkit.v1.Control/Solve",
        toBinary(SolveRequestSchema, create(SolveRequestSchema, { ref: crypto.randomUUID(), ...request })),
      );

    const containers = async (): Promise<string> =>
      (await engine.docker("ps", "--all", "--quiet", "--filter", `ancestor=${BASE}`)).stdout;

    test.each([
      [
        "CVE-2024-41110: Content-Length: 0 before a body",
        `POST ${CREATE} HTTP/1.1\r\n${HEAD}Content-Length: 0\r\n\r\n${PRIVILEGED}`,
        [400],
      ],
      [
        "CVE-2026-34040: a body too large for the filter",
        `POST ${CREATE} HTTP/1.1\r\n${HEAD}Content-Length: 1100000\r\n\r\n${PRIVILEGED.padEnd(1_100_000)}`,
        [403],
      ],
      [
        "a request after an allowed one",
        `GET /_ping HTTP/1.1\r\n${HEAD}\r\nPOST ${CREATE} HTTP/1.1\r\n${HEAD}Content-Length: ${PRIVILEGED.length}\r\n\r\n${PRIVILEGED}`,
        [], // nobody sends a request before the last answer, so the connection ends
      ],
      [
        "Transfer-Encoding with Content-Length",
        `POST /v1.41/auth HTTP/1.1\r\n${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST ${CREATE} HTTP/1.1\r\n${HEAD}\r\n`,
        [400],
      ],
      [
        "an invalid upgrade",
        `POST ${CREATE} HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n${PRIVILEGED}`,
        [403],
      ],
    ])("%s: creates no container", async (_, text, statuses) => {
      const answers = [...(await send(text)).matchAll(/HTTP\/1\.1 (\d{3}) /g)];
      expect(answers.map(([, status]) => Number(status))).toEqual(statuses);
      expect(await containers()).toBe("");
    });

    test.each([
      ["GET /containers/x/archive?path=/etc/shadow", 403],
      ["GET /v1.41/v1.41/containers/json", 403],
      ["GET //containers/json", 400],
      ["GET /v1.41/images/../containers/json", 400],
      ["GET /v1.41/images/%2e%2e/containers/json", 400],
      ["GET http://docker/containers/json", 400],
      ["GET /v1.41/images/json?all=1&All=0", 400],
      ["GET /v1.41/images/json?all=1&all=0", 400],
      ['GET /v1.41/images/json?filters={"label":["a"],"label":["b"]}', 400],
      [`GET /v1.41/images/${HOST_IMAGE}/json`, 404],
      [`GET /v1.41/images/get?names=${HOST_IMAGE}&names=app:v1`, 404],
      ["GET /v1.41/images/guard.internal/a/docker.io/library/app:v1/json", 403],
    ])("%s: %i", async (line, status) => {
      expect(await send(`${line} HTTP/1.1\r\n${HEAD}\r\n`)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    });

    test.each([
      ["twice", '{"username":"a","username":"b"}', "twice"],
      ["in another case", '{"Serveraddress":"a"}', "write it as"],
    ])("refuses a key of JSON %s", async (_, body, sentence) => {
      const text = `POST /v1.41/auth HTTP/1.1\r\n${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`;
      expect(await send(text)).toContain(sentence);
    });

    test("BuildKit accepts no steps, frontends, fields or permissions of a tenant", async () => {
      expect(await solve({ definition: { def: [new Uint8Array(1)] } })).toContain("LLB");
      expect(await solve({ frontend: "gateway.v0", frontendAttrs: { source: BASE } })).toContain("gateway.v0");
      expect(await solve({ entitlements: ["security.insecure"] })).toContain("entitlement");
      expect(await solve({ frontendAttrs: { "cgroup-parent": "/" } })).toContain("cgroup");
      expect(await solve({ cache: { imports: [{ type: "registry", attrs: { ref: HOST_IMAGE } }] } })).toContain(
        "cache",
      );
      expect(await solve({ exporters: [{ type: "image", attrs: { name: "x", push: "true" } }] })).toContain("push");
      expect(await call("/moby.buildkit.v1.Control/Solve", Buffer.from([0x0a, 1, 0x31, 0x98, 6, 1]))).toContain(
        "field 99",
      );
      expect(await call("/moby.buildkit.v1.frontend.LLBBridge/NewContainer", Buffer.alloc(0))).toContain("not allowed");
    });

    test.each([
      ["the host's image", HOST_IMAGE, "hunter2"],
      ["another tenant's image", "guard.internal/a/docker.io/library/app:v1", "hunter3"],
    ])("refuses %s as a base, and no error reveals its content", async (_, name, secret) => {
      const files = [`FROM ${name}\nEXPOSE $PASSWORD\n`, `FROM ${BASE}\nCOPY --from=${name} / /\n`];
      for (const builder of ["classic", "buildkit"] as const) {
        for (const file of builder === "classic" ? files.slice(0, 1) : files) {
          const built = await b(["build", "--no-cache", "-t", "mine:v1", context(file)], { builder });
          expect({ file, exitCode: built.exitCode }).not.toEqual({ file, exitCode: 0 });
          expect(built.stderr + built.stdout).toMatch(
            /not a base that may be used|uses a base that may not be used|names of guard\.internal/,
          );
          expect(built.stderr + built.stdout).not.toContain(secret);
        }
      }
      const syntax = context(`# syntax=${name}\nFROM ${BASE}\nLABEL a=b\n`);
      const ignored = await b(["build", syntax], { builder: "buildkit" });
      expect(ignored).toMatchObject({ exitCode: 0 });
      // BuildKit of 20.10 has no warnings.
      if (kind !== "20.10") expect(ignored.stderr).toMatch(/IgnoredSyntax: "# syntax=.*" is ignored/);
    });

    test.skipIf(kind === "20.10").each([
      ["RUN --network=host true", [], "RUN may not use the host's network"],
      // The engine's frontend creates steps from an invalid Dockerfile; the check of the steps refuses them as well.
      ["RUN --security=insecure true", [], "unknown flag: --security"],
      ["RUN --device=vendor.com/class=name true", [], "device feature is only supported in"],
      ["RUN true", ["--allow", "network.host"], "builds may not use the host's network"],
      ["RUN true", ["--allow", "security.insecure"], "builds get no entitlement here"],
      ["RUN true", ["--network", "host"], "builds may not use the host's network"],
      ["RUN true", ["--cgroup-parent", "/"], "omit --cgroup-parent"],
      ["RUN --mount=from=OTHER true", [], "is not a base that may be used"],
      ["COPY --from=other / /", ["--build-context", "other=docker-image://OTHER"], "is not a base that may be used"],
      ["RUN true", ["--cache-from", "type=registry,ref=OTHER"], "omit --cache-from"],
      ["RUN true", ["--cache-to", "type=registry,ref=127.0.0.1:1/cache"], "may not be written here"],
      ["RUN true", ["--output", "type=image,name=OTHER"], "names of guard.internal are the guard's own"],
      ["RUN true", ["--output", "type=image,name=127.0.0.1:1/app,push=true"], "a build cannot push by itself here"],
      ["RUN true", ["--push", "--tag", "127.0.0.1:1/app"], "a build cannot push by itself here"],
      ["RUN true", ["--sbom=true"], "builds may not run an SBOM scanner here"],
    ])("refuses %s, docker build %j, with a sentence", async (step, options, sentence) => {
      const other = "guard.internal/a/docker.io/library/app:v1";
      const [file = "", ...words] = [step, ...options].map((word) => word.replace("OTHER", other));
      const ended = await b(["build", ...words, context(`FROM ${BASE}\n${file}\n`)], { builder: "buildkit" });
      expect(ended.exitCode).not.toBe(0);
      expect(ended.stderr).toContain(sentence);
      expect(ended.stderr).not.toContain("hunter");
    });

    test("uses the last of two Dockerfiles in a context, like the engine", async () => {
      const dockerfiles = [BASE, HOST_IMAGE].map((from) => fileEntry("Dockerfile", `FROM ${from}\n`));
      const archive = Buffer.concat([...tar(dockerfiles)]);
      const head = `POST /v1.41/build HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: ${archive.length}\r\n\r\n`;
      const answer = await send(Buffer.concat([Buffer.from(head), archive]), /not a base|Successfully/);
      expect(answer).toContain("is not a base that may be used here");
    });

    test("closes the connection of a client that stops using gRPC", async () => {
      const socket = connect({ path: socketOf("b"), allowHalfOpen: true });
      const closed = new Promise<string>((resolve) => void socket.resume().once("end", () => resolve("closed")));
      socket.write(`POST /grpc HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
      await new Promise((resolve) => void socket.once("data", resolve));
      socket.end(HTTP2_BEGIN);
      expect(await closed).toBe("closed");
    });
  },
);
