import { describe, expect, test } from "vitest";
import { describeEndpoint, parseHost } from "../../../../src/engine/connect/endpoint.ts";
import { Failure } from "../../../../src/output/errors.ts";

const tcp = { protocol: "tcp", pathPrefix: "" };

describe("the address of an engine", () => {
  test.each([
    ["unix:///run/user/1000/docker.sock", { protocol: "unix", path: "/run/user/1000/docker.sock" }],
    ["unix://", { protocol: "unix", path: "/var/run/docker.sock" }],
    ["npipe:////./pipe/docker_engine", { protocol: "npipe", path: "//./pipe/docker_engine" }],
    ["npipe://", { protocol: "npipe", path: "//./pipe/docker_engine" }],
    ["tcp://build:1234", { ...tcp, hostname: "build", port: 1234 }],
    ["tcp://build", { ...tcp, hostname: "build", port: 2375 }],
    ["tcp://build:", { ...tcp, hostname: "build", port: 2375 }],
    ["tcp://", { ...tcp, hostname: "localhost", port: 2375 }],
    ["tcp://:4000", { ...tcp, hostname: "localhost", port: 4000 }],
    ["tcp://[::1]:2376", { ...tcp, hostname: "::1", port: 2376 }],
    ["tcp://build:1234/behind/proxy/", { ...tcp, hostname: "build", port: 1234, pathPrefix: "/behind/proxy" }],
    ["build:1234", { ...tcp, hostname: "build", port: 1234 }],
    ["build", { ...tcp, hostname: "build", port: 2375 }],
    ["  tcp://build:1234\n", { ...tcp, hostname: "build", port: 1234 }],
    ["http://build", { ...tcp, hostname: "build", port: 80 }],
    ["https://build", { ...tcp, hostname: "build", port: 443, tls: { verify: true } }],
    ["ssh://prod", { protocol: "ssh", hostname: "prod" }],
    ["ssh://deploy@prod:2222", { protocol: "ssh", user: "deploy", hostname: "prod", port: 2222 }],
    ["ssh://prod/", { protocol: "ssh", hostname: "prod" }],
    [
      "ssh://prod/run/user/1000/docker.sock",
      { protocol: "ssh", hostname: "prod", socketPath: "/run/user/1000/docker.sock" },
    ],
    ["ssh://me@[fe80::1]", { protocol: "ssh", user: "me", hostname: "fe80::1" }],
  ])("%s", (host, address) => {
    expect(parseHost(host, "-H").address).toEqual(address);
  });

  test.each([
    ["fd://3", "fd:// is not supported"],
    ["ftp://build", "ftp:// is not supported"],
    ["tcp://build:port", "malformed"],
    ["tcp://build:99999", "malformed"],
    ["tcp://tcp://build", "two schemes"],
    ["unix://tcp://build", "two schemes"],
    ["tcp://me@build", "user"],
    ["tcp://build?x=1", "query"],
    ["ssh://", "names no host"],
    ["ssh://deploy:hunter2@prod", "password"],
    ["ssh://prod?x=1", "query"],
    ["ssh://prod#x", "fragment"],
    ["ssh://-oProxyCommand=evil", "characters"],
    ["ssh://-l@prod", "characters"],
    ["ssh://prod%60id%60", "characters"],
    ["ssh://a%20b@prod", "characters"],
    ["ssh://%ff@prod", "malformed"],
  ])("%s is rejected", (host, reason) => {
    const parse = () => parseHost(host, "DOCKER_HOST");
    expect(parse).toThrow(Failure);
    expect(parse).toThrow(
      expect.objectContaining({
        code: "usage",
        message: expect.stringContaining(reason),
        expected: expect.any(String),
        hint: expect.any(String),
      }),
    );
    expect(parse).toThrow("DOCKER_HOST");
  });

  test.each(["ssh://deploy:hunter2@prod", "tcp://me:hunter2@build:1", "me:hunter2@build", "ftp://me:hunt/er2@build"])(
    "a password is not repeated: %s",
    (host) => {
      const error = (() => {
        try {
          return parseHost(host, "-H");
        } catch (thrown) {
          return thrown as Failure;
        }
      })();
      expect(error).toBeInstanceOf(Failure);
      expect(JSON.stringify([(error as Failure).message, (error as Failure).cause ?? null])).not.toMatch(/hunter2|er2/);
    },
  );

  test("is described together with its source", () => {
    expect(describeEndpoint(parseHost("tcp://build", "DOCKER_HOST"))).toBe("tcp://build:2375 (DOCKER_HOST)");
  });
});
