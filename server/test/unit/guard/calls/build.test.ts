import { describe, expect, test } from "vitest";
import { BUILD_CALLS } from "../../../../src/guard/calls/build-calls.ts";
import { BUILD_QUERY, parseBuild } from "../../../../src/guard/calls/parse-build.ts";
import type { Policy } from "../../../../src/guard/policy/policy.ts";
import { checkSource } from "../../../../src/guard/policy/sources.ts";
import { readHeaders } from "../../../../src/guard/request/headers.ts";
import { parseQuery } from "../../../../src/guard/request/query.ts";

/** The request of docker 20.10 for `docker build -t app .` */
const CLASSIC =
  "buildargs=%7B%7D&cachefrom=%5B%5D&cgroupparent=&cpuperiod=0&cpuquota=0&cpusetcpus=&cpusetmems=&cpushares=0&dockerfile=Dockerfile&labels=%7B%7D&memory=0&memswap=0&networkmode=default&rm=1&shmsize=0&t=app&target=&ulimits=null&version=1";

const read = (query: string, headers: string[] = []) =>
  parseBuild({
    method: "POST",
    apiVersion: "1.41",
    path: "/build",
    parameters: {},
    query: parseQuery(query, BUILD_QUERY),
    headers: readHeaders(headers),
  });

describe("POST /build", () => {
  test("gives an image 100 names at most", () => {
    const names = (count: number): string => Array.from({ length: count }, (_, at) => `t=app:${at}`).join("&");
    expect(read(names(100)).names).toHaveLength(100);
    expect(() => read(names(101))).toThrow(expect.objectContaining({ rule: "build.names" }));
  });

  test("accepts docker's request", () => {
    expect(read(CLASSIC, ["Content-Type", "application/x-tar"])).toMatchObject({
      builder: "classic",
      names: ["app"],
      dockerfile: "Dockerfile",
      buildArgs: {},
      network: "default",
      remove: true,
      memory: undefined,
      ulimits: [],
      remote: undefined,
    });
  });

  test("accepts all allowed options", () => {
    const requested = read(
      `t=a:1&t=b&dockerfile=x/Dockerfile&target=t&buildargs=${json({ A: "1", B: null })}&labels=${json({ l: "v" })}&platform=linux/arm64/v8&nocache=1&pull=1&q=1&rm=0&forcerm=1&cachefrom=${json(["c"])}&networkmode=none&extrahosts=h:1.2.3.4&extrahosts=six=[::1]&ulimits=${json([{ Name: "nofile", Soft: 1, Hard: 2 }])}&memory=1000&memswap=-1&cpuquota=-1&cpusetcpus=0-3,5&version=2&session=s1&buildid=b1&outputs=${json([{ Type: "tar", Attrs: { a: "b" } }])}`,
    );
    expect(requested).toMatchObject({
      builder: "buildkit",
      names: ["a:1", "b"],
      dockerfile: "x/Dockerfile",
      buildArgs: { A: "1", B: null },
      labels: { l: "v" },
      platform: "linux/arm64/v8",
      noCache: true,
      pull: true,
      quiet: true,
      remove: false,
      forceRemove: true,
      cacheFrom: ["c"],
      network: "none",
      extraHosts: ["h:1.2.3.4", "six:::1"],
      ulimits: ["nofile=1:2"],
      memory: 1000,
      memorySwap: -1,
      cpuQuota: undefined,
      cpusetCpus: "0-3,5",
      session: "s1",
      buildId: "b1",
      outputs: [{ type: "tar", attributes: { a: "b" } }],
    });
  });

  test("accepts docker-py's booleans", () => {
    expect(read("nocache=True&rm=False&q=False")).toMatchObject({ noCache: true, remove: false, quiet: false });
  });

  test.each([
    ["cgroupparent=/", "build.cgroupparent"],
    ["networkmode=host", "build.networkmode"],
    ["networkmode=container:db", "build.networkmode"],
    ["securityopt=seccomp%3Dunconfined", "build.securityopt"],
    ["isolation=hyperv", "build.isolation"],
    ["cpusetmems=0", "build.cpusetmems"],
    ["squash=1", "build.squash"],
    ["stream=1", "build.stream"],
    ["extrahosts=cache-b.guard.internal:127.0.0.1", "build.extra-hosts"],
    ["extrahosts=cache-b.GUARD.internal.:127.0.0.1", "build.extra-hosts"],
    ["extrahosts=nonsense", "build.extra-hosts"],
    [`labels=${json({ "docker-over-ssh.guard.tenant": "b" })}`, "label.reserved"],
    [`labels=${json({ "docker-over-ssh.guard.of-tomorrow": "b" })}`, "label.reserved"],
    ["t=guard.internal/b/docker.io/library/app", "name.reserved"],
    [`t=app@sha256:${"0".repeat(64)}`, "name.digest"],
    ["t=app&T=app", "query.case"],
    ["dockerfile=a&dockerfile=b", "query.duplicate"],
    ["version=3", "query.value"],
    ["platform=../x", "query.value"],
    ["memory=-1", "query.value"],
    ["memory=1e3", "query.value"],
    [`ulimits=${json([{ Name: "nofile", soft: 1 }])}`, "json.case"],
    [`ulimits=${json([{ Name: "no file", Soft: 1 }])}`, "build.ulimits"],
    [`ulimits=${json([{ Name: "rtprio", Soft: 99, Hard: 99 }])}`, "build.ulimits"],
    [`buildargs=${json({ "": "1" })}`, "build.args"],
    ["unknown=1", "query.unknown"],
  ])("refuses %s", (query, rule) => {
    expect(() => read(query)).toThrow(expect.objectContaining({ name: "Refusal", rule }));
  });

  test("refuses a context that is not a tar", () => {
    expect(() => read("", ["Content-Type", "multipart/form-data; boundary=x"])).toThrow(
      expect.objectContaining({ rule: "build.content-type" }),
    );
  });
});

describe("POST /build/prune", () => {
  const prune = BUILD_CALLS.find(({ path }) => path === "/build/prune");
  const ask = (query: string) =>
    prune?.read(
      {
        method: "POST",
        apiVersion: "1.48",
        path: "/build/prune",
        parameters: {},
        query: parseQuery(query, prune.query),
        headers: readHeaders([]),
      },
      undefined,
    );

  test.each([
    "all=1&filters=%7B%7D",
    `keep-storage=1000&filters=${json({ until: { "24h": true } })}`,
    "reserved-space=1",
  ])("accepts %s", (query) => {
    expect(ask(query)).toBeDefined();
  });

  test.each([
    [`filters=${json({ nonsense: ["x"] })}`, "build.prune-filter"],
    ["max-used-space=1", "build.prune-space"],
    ["min-free-space=1", "build.prune-space"],
  ])("refuses %s", (query, rule) => {
    expect(() => ask(query)).toThrow(expect.objectContaining({ rule }));
  });
});

describe("addresses that a build may fetch", () => {
  const policy = { sources: ["https://github.com/example/", "https://files.example.com"] } as unknown as Policy;

  test.each(["https://github.com/example/a.tar.gz?x=1", "https://files.example.com/x", "https://files.example.com"])(
    "include %s",
    (address) => {
      expect(() => checkSource(address, policy)).not.toThrow();
    },
  );

  test.each([
    "http://169.254.169.254/latest/meta-data/",
    "http://github.com/example/x",
    "https://github.com/example2/x",
    "https://github.com/example/../evil/x",
    "https://github.com/example/%2e%2e/evil/x",
    "https://github.com/example/..%2fevil/x",
    "https://github.com/example/..\\evil/x",
    "https://files.example.com.evil.example/x",
    "https://files.example.com@evil.example/x",
    "https://files.example.com:pw@evil.example/x",
    "https://files.example.com:8443/x",
    "HTTPS://files.example.com/x",
  ])("exclude %s", (address) => {
    expect(() => checkSource(address, policy)).toThrow(expect.objectContaining({ rule: "source.refused" }));
  });
});

function json(value: unknown): string {
  return encodeURIComponent(JSON.stringify(value));
}
