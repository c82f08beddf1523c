import { Failure } from "docker-over-ssh/builds";
import { describe, expect, test } from "vitest";
import { GUARD, type GuardOptions } from "../../../../src/commands/guard-options.ts";
import { parseWords } from "../../../../src/commands/option.ts";
import { readGuardSettings } from "../../../../src/commands/read-guard-settings.ts";

const ENV = { HOME: "/home/someone" };
const LONG = `/run/${"a".repeat(90)}/docker.sock`; // 107 bytes

function settings(...words: string[]) {
  return readGuardSettings(parseWords<GuardOptions>(GUARD, words, () => {})?.options ?? {}, ENV);
}

function failureOf(...words: string[]): Failure {
  try {
    settings(...words);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

test("allows little and limits the work by default", () => {
  expect(settings("--tenant", "name=a,socket=/run/a.sock")).toEqual({
    mode: "passthrough",
    engine: undefined,
    data: "/home/someone/.local/state/docker-over-ssh-guard",
    defaults: {
      policy: { bases: [], pulls: [], pushes: [], sources: [], sharesCache: false, hasNetwork: true },
      resources: { ulimits: [] },
      quotas: { builds: 4, context: 2 * 1024 ** 3, connections: 256, requests: 50 },
    },
    sources: {
      bindLocal: undefined,
      listed: [{ id: "a", socket: "/run/a.sock", policy: {}, resources: {}, quotas: {} }],
      configFile: undefined,
      usesEnginePods: false,
      kubelet: undefined,
    },
    auditFile: undefined,
    metrics: undefined,
    isDryRun: false,
  });
});

test("the tenant of --bind-local may use any image as a base, unless an option names bases; other tenants may use none", () => {
  const local = { id: "local", socket: "/tmp/docker.sock" };
  const any = settings("--bind-local=/tmp", "--tenant", "name=a,socket=/run/a.sock");
  expect(any.sources.bindLocal).toEqual({ ...local, policy: { bases: ["*"] } });
  expect([any.defaults.policy.bases, any.sources.listed[0]?.policy]).toEqual([[], {}]);
  for (const option of ["--allow-base", "--allow-pull"])
    expect(settings("--bind-local", "/tmp", option, "alpine").sources.bindLocal).toEqual(local);
});

test("fails without a source of tenants, with a hint on the shortest way to try it", () => {
  const failure = failureOf();
  expect(failure.code).toBe("usage");
  expect(failure.hint).toContain("guard --bind-local /tmp");
});

test("applies options to all tenants", () => {
  const { defaults, metrics, mode } = settings(
    ...(
      "--bind-local /tmp --allow-base alpine:3.* --allow-base debian --allow-push r.example/* --network none --memory 2g " +
      "--cpus 1.5 --ulimit nofile=1024:2048 --max-builds 0 --max-build-minutes 30 --share-cache --metrics 9100 --mode imagebuilder"
    ).split(" "),
  );
  expect(defaults.policy).toEqual({
    bases: ["docker.io/library/alpine:3.*", "docker.io/library/debian"],
    pulls: [],
    pushes: ["r.example/*"],
    sources: [],
    sharesCache: true,
    hasNetwork: false,
  });
  expect(defaults.resources).toEqual({ memory: 2 * 1024 ** 3, cpus: 1.5, ulimits: ["nofile=1024:2048"] });
  expect(defaults.quotas).toMatchObject({ builds: 0, buildTime: 30 * 60_000 });
  expect(metrics).toEqual({ host: "127.0.0.1", port: 9100 });
  expect(mode).toBe("buildah");
});

test("--tenant sets only the fields that it names, and repeats them like options", () => {
  const given = `name=ci,socket=/run/ci.sock,memory=1g,"allow-base=alpine","label=a=b,c",label=team=web,share-cache,network=none`;
  expect(settings("--tenant", given, "--tenant", "name=x,socket=/run/x.sock").sources.listed).toEqual([
    {
      id: "ci",
      socket: "/run/ci.sock",
      labels: { a: "b,c", team: "web" },
      policy: { bases: ["docker.io/library/alpine"], sharesCache: true, hasNetwork: false },
      resources: { memory: 1024 ** 3 },
      quotas: {},
    },
    { id: "x", socket: "/run/x.sock", policy: {}, resources: {}, quotas: {} },
  ]);
});

describe("rejects an invalid --tenant", () => {
  test.each([
    ["name=Team,socket=/a", "lower-case letters"],
    ["socket=/a", "has no name"],
    ["name=a--b,socket=/a", "cannot be used"],
    ["name=a", "has no socket"],
    ["name=a,socket=run/a", "absolute path"],
    ["name=a,socket=/run/../a", "without . and .."],
    [`name=a,socket=${LONG}x`, "at most 107 bytes"],
    ["name=a,socket=/a,socket=/b", "socket once"],
    ["name=a,socket=/a,privileged", '"privileged" is unknown'],
    ["name=a,socket=/a,Memory=1g", '"Memory" is unknown'],
    ["name=a,socket=/a,memory=1", "at least 6m"],
    ["name=a,socket=/a,memory=1g,memory=2g", "memory once"],
    ["name=a,socket=/a,network=host", "default or none"],
    ["name=a,socket=/a,allow-source=https://github.com", "with a path"],
    ["name=a,socket=/a,cgroup-parent=/a/../b", "the path of a cgroup"],
    ["name=a,socket=/a,cgroup-parent=a/b", "the path of a cgroup"],
    ["name=a,socket=/a,ulimit=nofile=9:1", "not above the hard one"],
    ["name=a,socket=/a,ulimit=files=1:9", "NAME=SOFT[:HARD]"],
    ["name=a,socket=/a,ulimit=nofile=-1:9", "not above the hard one"],
    ["name=a,socket=/a,cpus=many", "a number of processors"],
    ["name=a,socket=/a,max-bytes=0", "at least one byte"],
    ["name=a,socket=/a,share-cache=perhaps", "true or false"],
    ["name=a,socket=/a,label=x", "label=KEY=VALUE"],
    ['name=a,"socket=/a', "fields separated by commas"],
  ])("%s", (given, words) => {
    const { code, message } = failureOf("--tenant", given);
    expect(code).toBe("usage");
    expect(message).toContain(words);
  });

  test("accepts a socket path of 107 bytes", () => {
    expect(Buffer.byteLength(LONG)).toBe(107);
    expect(settings("--tenant", `name=a,socket=${LONG}`).sources.listed[0]?.socket).toBe(LONG);
  });
});

describe("rejects contradictory options", () => {
  const tenant = ["--tenant", "name=a,socket=/run/a.sock"];
  test.each([
    ["two tenants with one socket", [...tenant, "--tenant", "name=b,socket=/run/a.sock"], "have the same socket"],
    ["two tenants with one name", [...tenant, "--tenant", "name=a,socket=/run/b.sock"], "have the name a"],
    ["the socket of --bind-local", ["--bind-local", "/x", "--tenant", "name=b,socket=/x/docker.sock"], "same socket"],
    ["a folder that is too long", ["--bind-local", `/${"x".repeat(100)}`], "--bind-local cannot have the socket"],
    ["buildah with an engine", [...tenant, "--mode", "buildah", "-H", "unix:///x"], "uses no engine"],
    ["buildah in a dry run", [...tenant, "--mode", "buildah", "--dry-run"], "--mode buildah has none"],
    ["buildah with the engine's pods", ["--mode", "buildah", "--kubernetes"], "lists the pods of the engine"],
    ["a volume without a folder", [...tenant, "--kubelet-volume", "x"], "which is not given"],
    ["a volume that is a path", ["--kubelet-dir", "/k", "--kubelet-volume", "../x"], "cannot be the name"],
  ])("%s", (_what, words, expected) => {
    const { code, message } = failureOf(...words);
    expect(code).toBe("usage");
    expect(message).toContain(expected);
  });

  test.each([
    [["--mode", "raw"], "passthrough or buildah"],
    [["--metrics", "unix:/x"], "HOST:PORT"],
    [["--max-requests", "0"], "from 1"],
    [["--allow-base", "No Name"], "name of an image"],
    [["surplus"], "too many arguments"],
  ])("rejects %j", (words, expected) => expect(failureOf(...words).message).toContain(expected));
});
