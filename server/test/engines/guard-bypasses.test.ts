import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBinary, create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import { SolveRequestSchema } from "../../src/guard/buildkit/gen/control_pb.ts";
import { startGuard, type GuardProcess } from "../fixtures/guard/guard-process.ts";
import { contextIn, tenantCli, type TenantCli } from "../fixtures/guard/tenant-cli.ts";

const HOST_IMAGE = "bypass-secret:v1";
const HEAD = "Host: docker\r\nContent-Type: application/json\r\n";
const CREATE = "/v1.41/containers/create";
/** A container that has the host's files */
const PRIVILEGED = JSON.stringify({ Image: BASE, HostConfig: { Binds: ["/:/host"], Privileged: true } });
/** An empty SETTINGS frame after the preface of HTTP/2 */
const HTTP2_BEGIN = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** How filters of Docker's socket have been passed by, on a real engine: nothing of it may reach the engine. */
describe.skipIf(why)(`bypasses that are known of filters, through the guard ${why ?? ""}`, () => {
  let folder: string;
  let guard: GuardProcess;
  let a: TenantCli;
  let b: TenantCli;
  const socketOf = (tenant: string): string => join(folder, `${tenant}.sock`);
  const context = (dockerfile: string): string => contextIn(folder, { Dockerfile: dockerfile });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "dos-bypass-"));
    await importBase(bed.near);
    const secret = ["import", "--change", "ENV PASSWORD=hunter2", "-", HOST_IMAGE];
    await bed.near.dockerWithInput([Buffer.alloc(1024)], secret);
    const tenants = ["a", "b"].flatMap((name) => ["--tenant", `name=${name},socket=${socketOf(name)}`]);
    guard = await startGuard(folder, ["-H", bed.near.host, ...tenants, "--allow-base", BASE], bed.env);
    a = await tenantCli(bed.near, { socket: socketOf("a"), folder });
    b = await tenantCli(bed.near, { socket: socketOf("b"), folder });
    const built = ["build", "-t", "app:v1", context(`FROM ${BASE}\nENV PASSWORD=hunter3\n`)];
    expect(await a(built)).toMatchObject({ exitCode: 0 });
  });

  afterAll(async () => {
    if (why) return;
    const names = (await bed.near.listing()).references.filter((name) => /^guard\.internal\/[ab]\//.test(name));
    await bed.near.docker("rmi", "--force", HOST_IMAGE, ...names);
    await guard?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Sends text as it is. Resolves with all that comes until the guard closes, or with the first answer. */
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

  /** A call of gRPC with one message. @returns the error's sentence */
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
    (await bed.near.docker("ps", "--all", "--quiet", "--filter", `ancestor=${BASE}`)).stdout;

  test.each([
    [
      "CVE-2024-41110: Content-Length: 0 before a body",
      `POST ${CREATE} HTTP/1.1\r\n${HEAD}Content-Length: 0\r\n\r\n${PRIVILEGED}`,
    ],
    [
      "CVE-2026-34040: a body that is too large for the filter",
      `POST ${CREATE} HTTP/1.1\r\n${HEAD}Content-Length: 1100000\r\n\r\n${PRIVILEGED.padEnd(1_100_000)}`,
    ],
    [
      "a request behind one that is allowed",
      `GET /_ping HTTP/1.1\r\n${HEAD}\r\nPOST ${CREATE} HTTP/1.1\r\n${HEAD}Content-Length: ${PRIVILEGED.length}\r\n\r\n${PRIVILEGED}`,
    ],
    [
      "Transfer-Encoding with Content-Length",
      `POST /v1.41/auth HTTP/1.1\r\n${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST ${CREATE} HTTP/1.1\r\n${HEAD}\r\n`,
    ],
    [
      "an upgrade that is none",
      `POST ${CREATE} HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n${PRIVILEGED}`,
    ],
  ])("%s: no container is made", async (_, text) => {
    expect(await send(text)).not.toMatch(/^HTTP\/1\.1 2.*"Id"/s);
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
  ])("a key of JSON %s is refused", async (_, body, sentence) => {
    const text = `POST /v1.41/auth HTTP/1.1\r\n${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`;
    expect(await send(text)).toContain(sentence);
  });

  test("BuildKit takes no steps, frontends, fields or rights of a tenant's own", async () => {
    expect(await solve({ definition: { def: [new Uint8Array(1)] } })).toContain("LLB");
    expect(await solve({ frontend: "gateway.v0", frontendAttrs: { source: BASE } })).toContain("gateway.v0");
    expect(await solve({ entitlements: ["security.insecure"] })).toContain("entitlement");
    expect(await solve({ frontendAttrs: { "cgroup-parent": "/" } })).toContain("cgroup");
    expect(await solve({ cache: { imports: [{ type: "registry", attrs: { ref: HOST_IMAGE } }] } })).toContain("cache");
    expect(await solve({ exporters: [{ type: "image", attrs: { name: "x", push: "true" } }] })).toContain("push");
    expect(await call("/moby.buildkit.v1.Control/Solve", Buffer.from([0x0a, 1, 0x31, 0x98, 6, 1]))).toContain(
      "field 99",
    );
    expect(await call("/moby.buildkit.v1.frontend.LLBBridge/NewContainer", Buffer.alloc(0))).toContain("not allowed");
  });

  test.each([
    ["the host's image", HOST_IMAGE, "hunter2"],
    ["another tenant's image", "guard.internal/a/docker.io/library/app:v1", "hunter3"],
  ])("%s is no base, and no error tells what is in it", async (_, name, secret) => {
    const files = [`FROM ${name}\nEXPOSE $PASSWORD\n`, `FROM ${BASE}\nCOPY --from=${name} / /\n`];
    for (const builder of ["classic", "buildkit"] as const) {
      for (const file of builder === "classic" ? files.slice(0, 1) : files) {
        const built = await b(["build", "--no-cache", "-t", "mine:v1", context(file)], { builder });
        expect({ file, exitCode: built.exitCode }).not.toEqual({ file, exitCode: 0 });
        expect(built.stderr + built.stdout).toMatch(/not a base that may be used|names of guard\.internal/);
        expect(built.stderr + built.stdout).not.toContain(secret);
      }
    }
    const syntax = context(`# syntax=${name}\nFROM ${BASE}\nLABEL a=b\n`);
    const ignored = await b(["build", syntax], { builder: "buildkit" });
    expect(ignored).toMatchObject({ exitCode: 0 });
  });

  test("the last of two Dockerfiles in a context counts, for the guard as for the engine", async () => {
    const archive = Buffer.concat([
      tarFile("Dockerfile", `FROM ${BASE}\n`),
      tarFile("Dockerfile", `FROM ${HOST_IMAGE}\n`),
      Buffer.alloc(1024),
    ]);
    const head = `POST /v1.41/build HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: ${archive.length}\r\n\r\n`;
    const answer = await send(Buffer.concat([Buffer.from(head), archive]), /not a base|Successfully/);
    expect(answer).toContain("is not a base that may be used here");
  });

  test("a client that leaves gRPC behind leaves no connection", async () => {
    const socket = connect({ path: socketOf("b"), allowHalfOpen: true });
    const closed = new Promise<string>((resolve) => void socket.resume().once("end", () => resolve("closed")));
    socket.write(`POST /grpc HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
    await new Promise((resolve) => void socket.once("data", resolve));
    socket.end(HTTP2_BEGIN);
    expect(await closed).toBe("closed");
  });
});

/** A file of a tar (POSIX ustar). */
function tarFile(name: string, text: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write(`${text.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        0", 148);
  header.write("ustar\u000000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, Buffer.from(text), Buffer.alloc((512 - (text.length % 512)) % 512)]);
}
