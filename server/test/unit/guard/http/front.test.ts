import { describe, expect, it } from "vitest";
import { EngineAnswer } from "../../../../src/guard/engine/engine-api.ts";
import { echoingBuildkit, slowList, standInBackend } from "../../../fixtures/guard/stand-in-backend.ts";
import { frontBed } from "../../../fixtures/guard/front-bed.ts";
import { opening } from "../../../fixtures/guard/http2-client.ts";
import { rawConnection, statusOf } from "../../../fixtures/raw-request.ts";

const HOST = "Host: docker\r\n";

describe("an unusual request", () => {
  it.each([
    ["GET /v1.51/images//json HTTP/1.1", HOST, 400, "target.segments"],
    ["GET /v1.51/images/../containers/json HTTP/1.1", HOST, 400, "target.segments"],
    ["GET /v1.51/images%2fjson HTTP/1.1", HOST, 400, "target.encoded"],
    ["GET http://docker/v1.51/images/json HTTP/1.1", HOST, 400, "target.form"],
    ["GET /v1.99/images/json HTTP/1.1", HOST, 400, "api.version"],
    ["GET /v1.23/images/json HTTP/1.1", HOST, 400, "api.version"],
    ["GET /v1.51.2/images/json HTTP/1.1", HOST, 400, "api.form"],
    ["GET /v1.044/images/json HTTP/1.1", HOST, 400, "api.form"],
    ["GET /v01.44/images/json HTTP/1.1", HOST, 400, "api.form"],
    ["GET /v1.51/images/json?All=1 HTTP/1.1", HOST, 400, "query.case"],
    ["GET /v1.51/images/json?all=1&all=0 HTTP/1.1", HOST, 400, "query.duplicate"],
    ["GET /v1.51/images/json?all=1;x=2 HTTP/1.1", HOST, 400, "query.semicolon"],
    ["GET /v1.51/images/json?all=%zz HTTP/1.1", HOST, 400, "query.encoding"],
    ["GET /v1.51/images/json?all=maybe HTTP/1.1", HOST, 400, "query.value"],
    ["GET /v1.51/images/json?what=1 HTTP/1.1", HOST, 400, "query.unknown"],
    ["GET /_ping HTTP/1.1", `${HOST}Content-Type: a/b\r\nContent-Type: c/d\r\n`, 400, "header.duplicate"],
    ["GET /_ping HTTP/1.1", `${HOST}X-Thing: \x80\r\n`, 400, "header.invalid"],
    ["POST /v1.51/containers/create HTTP/1.1", HOST, 403, "call.refused"],
    ["GET /v1.51/containers/x/archive?path=/ HTTP/1.1", HOST, 403, "call.refused"],
    ["GET /_ping HTTP/1.1", `${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n`, 400, "upgrade.refused"],
    ["GET /_ping HTTP/1.1", `${HOST}Upgrade: h2c\r\n`, 400, "upgrade.refused"],
    ["POST /grpc HTTP/1.1", `${HOST}Content-Length: 0\r\n`, 400, "upgrade.missing"],
    ["POST /grpc HTTP/1.1", `${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n`, 400, "upgrade.body"],
    ["POST /images/app:v1/tag?repo=b HTTP/1.1", `${HOST}Content-Length: 100\r\n`, 400, "body.unexpected"],
    ["POST /build HTTP/1.1", `${HOST}Content-Length: 2000\r\n`, 413, "body.size"],
  ])("%s %j is refused", async (line, headers, status, rule) => {
    await using bed = await frontBed();
    const answer = await bed.send(`${line}\r\n${headers}\r\n`, "}\n");
    expect(statusOf(answer)).toBe(status);
    expect(bed.entries).toMatchObject([{ rule, decision: "refused", status }]);
    expect(bed.problems).toEqual([]);
  });

  it.each([
    ["two lengths", "POST /build HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    [
      "a length and chunks",
      "POST /build HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["another encoding", "POST /build HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"],
    ["a folded header", "GET /_ping HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"],
    ["a bare line feed", "GET /_ping HTTP/1.1\nHost: a\n\n"],
    ["no host", "GET /_ping HTTP/1.1\r\n\r\n"],
    ["two hosts", "GET /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    ["garbage", "\u0016\u0003\u0001 hello\r\n\r\n"],
  ])("%s: gets 400, and has no effect", async (_, text) => {
    const backend = standInBackend();
    await using bed = await frontBed({ backend, timeouts: { keepAlive: 1, linger: 1 } });
    expect(statusOf(await bed.send(text))).toBe(400);
    expect(backend.calls).toEqual([]);
    expect(bed.entries.filter(({ decision }) => decision === "allowed")).toEqual([]);
  });
});

describe("an HTTP/2 client that disconnects", () => {
  it("leaves no connection", async () => {
    await using bed = await frontBed();
    using connection = await rawConnection(bed.port);
    const settings = "\0\0\0\u0004\0\0\0\0\0";
    connection.socket.end(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${settings}`);
    await connection.closed; // long before timeouts.headers
    expect(connection.socket.destroyed || connection.socket.readableEnded).toBe(true);
  });
});

describe("an answer", () => {
  it("has the headers that docker commands read", async () => {
    await using bed = await frontBed();
    const answer = await bed.send(`GET /_ping HTTP/1.1\r\n${HOST}\r\n`, "OK");
    expect(answer).toContain("Api-Version: 1.51\r\n");
    expect(answer).toContain("Builder-Version: 1\r\n");
    expect(answer).toContain("Ostype: linux\r\n");
    expect(bed.entries).toMatchObject([{ call: "GET /_ping", rule: "system.ping", decision: "allowed", sent: 2 }]);
  });

  it("leaves an audit line without the query, which contains build arguments that may be secrets", async () => {
    await using bed = await frontBed();
    await bed.send(
      `POST /build?buildargs=%7B%22T%22%3A%22hunter2%22%7D HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`,
      "}",
    );
    expect(bed.entries).toMatchObject([{ call: "POST /build", decision: "allowed" }]);
    expect(JSON.stringify(bed.entries)).not.toContain("hunter2");
  });

  it("to HEAD has no body, nor does its audit line count one", async () => {
    await using bed = await frontBed();
    const answer = await bed.send(`HEAD /_ping HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    expect(answer).toMatch(/\r\n\r\n$/);
    expect(bed.entries).toMatchObject([{ call: "HEAD /_ping", sent: 0 }]);
  });

  it("contains an error of the engine with the tenant's names", async () => {
    const backend = standInBackend();
    const message = "guard.internal/a/docker.io/library/app:v1 is used by guard.internal/b/docker.io/library/x:1";
    backend.images.list = () => Promise.reject(new EngineAnswer(409, message));
    await using bed = await frontBed({ backend });
    const answer = await bed.send(`GET /images/json HTTP/1.1\r\n${HOST}\r\n`, "}\n");
    expect(statusOf(answer)).toBe(409);
    expect(answer).toContain('{"message":"app:v1 is used by (an image of another tenant)"}');
    expect(bed.entries).toMatchObject([{ rule: "engine.answer", status: 409 }]);
  });

  it("reveals nothing about an internal error, which is reported to the operator", async () => {
    const backend = standInBackend({ version: () => Promise.reject(new Error("the key is hunter2")) });
    await using bed = await frontBed({ backend });
    const answer = await bed.send(`GET /_ping HTTP/1.1\r\n${HOST}\r\n`, "}\n");
    expect(statusOf(answer)).toBe(500);
    expect(answer).not.toContain("hunter2");
    expect(bed.problems.join()).toContain("hunter2");
  });

  it("is sent before the end of a body that is not accepted", async () => {
    await using bed = await frontBed({ timeouts: { linger: 1 } });
    using connection = await rawConnection(bed.port);
    connection.socket.write(
      `POST /v1.51/images/load HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    );
    expect(statusOf(await connection.closed)).toBe(403); // closed by the server, although the client still sends its body
  });

  it("to a call that fails after its first line ends with an error line", async () => {
    const backend = standInBackend();
    backend.images.push = (_caller, _reference, { onLine }) => {
      onLine({ status: "begun" });
      return Promise.reject(new Error("inside"));
    };
    await using bed = await frontBed({ backend });
    const answer = await bed.send(
      `POST /images/app/push?tag=v1 HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`,
      "0\r\n\r\n",
    );
    expect(answer).toContain('"errorDetail":{"message":"the guard failed to handle this call');
    expect(bed.entries).toMatchObject([{ decision: "failed", rule: "guard.failed" }]);
  });
});

describe("a body", () => {
  const build = (length: string): string => `POST /build HTTP/1.1\r\n${HOST}${length}\r\n\r\n`;

  it("of a build is passed on as a stream", async () => {
    await using bed = await frontBed();
    expect(await bed.send(`${build("Content-Length: 3")}abc`, "}\r\n")).toContain('{"stream":"3 bytes"}');
    expect(bed.entries).toMatchObject([{ rule: "build", received: 3 }]);
  });

  it("in chunks that exceeds the quota gets 413", async () => {
    await using bed = await frontBed({ timeouts: { linger: 1 } });
    const answer = await bed.send(`${build("Transfer-Encoding: chunked")}800\r\n${"a".repeat(2048)}\r\n`);
    expect(statusOf(answer)).toBe(413);
  });

  it("that stops gets 408", async () => {
    await using bed = await frontBed({ timeouts: { idle: 1, linger: 1 } });
    expect(statusOf(await bed.send(`${build("Content-Length: 3")}a`))).toBe(408);
  });

  it("is requested only if its call is allowed", async () => {
    await using bed = await frontBed();
    const expecting = `Content-Length: 3\r\nExpect: 100-continue`;
    expect(await bed.send(build(expecting), "100 Continue")).toContain("100 Continue");
    const refused = await bed.send(build(expecting).replace("/build", "/images/load"), "}\n");
    expect(refused).not.toContain("100 Continue");
  });

  it.each([
    ['{"username":"a","Serveraddress":"registry.example.com"}', "json.case"],
    ['{"username":"a","user\\u006eame":"b"}', "json.duplicate"],
    ['{"username":"a","admin":true}', "json.unknown"],
    ['{"username":1}', "json.type"],
    [`{"username":${"[".repeat(20)}${"]".repeat(20)}}`, "json.depth"],
    ['{"username":"a"} {}', "json.syntax"],
    ['{"username":"a","password":"b","serveraddress":"internal.example.com"}', "login.registry"],
    ['{"serveraddress":"registry.example.com"}', "auth.invalid"],
  ])("of docker login %s is refused by %s", async (body, rule) => {
    await using bed = await frontBed();
    await bed.send(`POST /auth HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`, "}\n");
    expect(bed.entries).toMatchObject([{ rule, decision: "refused" }]);
  });
});

describe("a connection", () => {
  it.each([
    ["sends nothing", ""],
    ["sends half a request", "GET /_ping HTTP/1.1\r\nHost:"],
    ["sends half a preface of HTTP/2", "PRI * HT"],
  ])("that %s is closed", async (_, text) => {
    await using bed = await frontBed({ timeouts: { headers: 20 } });
    expect(await bed.send(text)).not.toContain("200 OK");
  });

  it("that sends a request before the last answer is closed", async () => {
    const { backend } = slowList();
    await using bed = await frontBed({ backend });
    const request = `GET /images/json HTTP/1.1\r\n${HOST}\r\n`;
    expect(await bed.send(`${request}${request}`)).toBe("");
    expect(bed.entries).toMatchObject([{ rule: "image.list", status: 499 }]);
  });

  it("ends the call when the client disconnects", async () => {
    const { backend, begun, aborted } = slowList();
    await using bed = await frontBed({ backend });
    using connection = await rawConnection(bed.port);
    connection.socket.write(`GET /images/json HTTP/1.1\r\n${HOST}\r\n`);
    await begun;
    connection.socket.destroy();
    expect(await aborted).toMatchObject({ rule: "client.gone" });
  });

  it("is switched to gRPC, including data that has already arrived", async () => {
    await using bed = await frontBed({ backend: standInBackend({ buildkit: echoingBuildkit() }) });
    using connection = await rawConnection(bed.port);
    connection.socket.write(`POST /v1.51/grpc HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
    connection.socket.write(opening());
    // An empty SETTINGS frame that acknowledges the client's
    expect(await connection.received("\0\0\0\u0004\u0001\0\0\0\0")).toMatch(
      /^HTTP\/1\.1 101 .*\r\nUpgrade: h2c\r\n\r\n/s,
    );
  });

  it("cannot push a name without images", async () => {
    await using bed = await frontBed();
    expect(statusOf(await bed.send(`POST /images/other/push HTTP/1.1\r\n${HOST}\r\n`, "}\n"))).toBe(404);
    expect(bed.entries).toMatchObject([{ rule: "image.unknown" }]);
  });

  it("gets no session without BuildKit", async () => {
    await using bed = await frontBed();
    const request = `POST /session HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: a\r\n\r\n`;
    expect(statusOf(await bed.send(request))).toBe(404);
  });
});
