import { describe, expect, it } from "vitest";
import { frontBed } from "../../../fixtures/guard/front-bed.ts";
import { requestHttp2 } from "../../../fixtures/guard/http2-client.ts";
import { echoingBuildkit, slowList, standInBackend, standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";
import { rawConnection, statusOf } from "../../../fixtures/raw-request.ts";

const HOST = "Host: docker\r\n";

describe("HTTP/2 with prior knowledge", () => {
  it("is answered like HTTP/1.1", async () => {
    await using bed = await frontBed();
    expect(await requestHttp2(bed.port, { ":path": "/_ping" })).toMatchObject({
      ":status": 200,
      "api-version": "1.51",
    });
    expect(await requestHttp2(bed.port, { ":path": "/containers/json" })).toMatchObject({ ":status": 403 });
    expect(await requestHttp2(bed.port, { ":path": "/images//json" })).toMatchObject({ ":status": 400 });
  });

  it("passes gRPC calls on to BuildKit", async () => {
    const headers = { ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc", te: "trailers" };
    await using bed = await frontBed({ backend: standInBackend({ buildkit: echoingBuildkit() }) });
    expect(await requestHttp2(bed.port, headers)).toMatchObject({ ":status": 200, "x-path": "/a.B/C" });
    expect(await requestHttp2(bed.port, { ...headers, ":path": "/a/b/c" })).toMatchObject({ "grpc-status": "3" });
    await using without = await frontBed();
    expect(await requestHttp2(without.port, headers)).toMatchObject({ "grpc-status": "9" });
    expect(without.entries).toMatchObject([{ rule: "buildkit.none" }]);
  });
});

describe("a tenant with as many open calls as it may have connections", () => {
  const tenant = standInTenant({ quotas: { context: 1024, connections: 1, requests: 1000 } });

  it("cannot make another call", async () => {
    const { backend, begun } = slowList();
    await using bed = await frontBed({ backend, tenant });
    using connection = await rawConnection(bed.port);
    connection.socket.write(`GET /images/json HTTP/1.1\r\n${HOST}\r\n`);
    await begun;
    const answer = await bed.send(`GET /_ping HTTP/1.1\r\n${HOST}\r\n`, "}\n");
    expect(statusOf(answer)).toBe(429);
    expect(bed.entries).toMatchObject([{ rule: "quota.calls" }]);
  });

  it("cannot make another gRPC call", async () => {
    const { backend, begun } = slowList();
    await using bed = await frontBed({ backend: { ...backend, buildkit: echoingBuildkit() }, tenant });
    using connection = await rawConnection(bed.port);
    connection.socket.write(`GET /images/json HTTP/1.1\r\n${HOST}\r\n`);
    await begun;
    const headers = { ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc", te: "trailers" };
    expect(await requestHttp2(bed.port, headers)).toMatchObject({ "grpc-status": "8" });
    expect(bed.entries).toMatchObject([{ rule: "quota.calls" }]);
  });
});

it("ends the calls of a removed tenant", async () => {
  const { backend, begun } = slowList();
  await using bed = await frontBed({ backend });
  const answer = bed.send(`GET /images/json HTTP/1.1\r\n${HOST}\r\n`);
  await begun;
  await bed.front.close();
  expect(statusOf(await answer)).toBe(503);
});
