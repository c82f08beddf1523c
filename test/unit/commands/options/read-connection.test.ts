import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { parseReference } from "../../../../src/image/reference.ts";
import { readConnection } from "../../../../src/commands/options/read-connection.ts";

test.each<[string[], string]>([
  [[], "spawned"],
  [["ssh", "prod"], "command"],
  [["cat"], "command"],
  [["./docker-over-ssh"], "command"],
  [["/usr/bin/nothing"], "command"],
  [["x", "ssh://prod"], "command"],
  [["ssh", "prod", "docker-over-ssh pull app"], "command"],
  [["ssh", "prod", "docker", "system", "dial-stdio"], "engine"],
  [["ssh", "prod", "sudo podman system  dial-stdio"], "engine"],
  [["ssh", "prod", "docker system dial-stdio "], "command"],
  [["ssh://prod"], "host"],
  [["docker://box"], "host"],
  [["kubectl://ns/pod"], "host"],
  [["no-such-program"], "host"],
  [["deploy@prod"], "host"],
  [["prod:2222"], "host"],
  [["no-such-program", "x"], "command"],
])("%j is a connection of the kind %s", (command, kind) => {
  expect(readConnection(command)).toMatchObject(
    kind === "command" || kind === "engine" ? { kind, words: command } : { kind },
  );
});

test("ssh://[user@]host[:port] is parsed", () => {
  expect(readConnection(["ssh://deploy@prod:2222"], { sudo: true })).toMatchObject({
    given: "ssh://deploy@prod:2222",
    address: { protocol: "ssh", user: "deploy", hostname: "prod", port: 2222 },
    sudo: true,
  });
});

test.each([
  ["deploy@prod:2222", { protocol: "ssh", user: "deploy", hostname: "prod", port: 2222 }],
  ["docker://box_1", { protocol: "docker", container: "box_1" }],
  ["kubectl://team/pod-1", { protocol: "kubectl", namespace: "team", pod: "pod-1" }],
  ["kubectl://team/pod-1/dind", { protocol: "kubectl", namespace: "team", pod: "pod-1", container: "dind" }],
])("%s is a valid address", (given, address) => {
  expect(readConnection([given])).toMatchObject({ given, address });
});

test("the options of a host", () => {
  expect(readConnection(["prod"], {}, {})).toMatchObject({
    ssh: ["ssh"],
    programs: ["installed", "node", "container", "engine"],
    image: { given: expect.stringMatching(/^node:/) as string, domain: "docker.io", path: "library/node" },
    isImageRequested: false,
    asksForNode: true,
    paths: [],
  });
  expect(readConnection(["prod"], { mayPrompt: true }, {})).toMatchObject({
    programs: ["installed", "node", "container", "node-sent", "engine"],
    asksForNode: true,
  });
  expect(readConnection(["prod"], { far: "node-sent" }, {})).toMatchObject({
    programs: ["node-sent"],
    asksForNode: false,
  });
  const env = { DOCKER_OVER_SSH_FAR: "node", DOCKER_OVER_SSH_SSH: 'ssh -i "a key" -p 2222' };
  expect(readConnection(["prod"], {}, env)).toMatchObject({
    programs: ["node"],
    ssh: ["ssh", "-i", "a key", "-p", "2222"],
  });
  expect(
    readConnection(["prod"], { far: "container", farImage: parseReference("mine:1"), farPath: ["/opt"] }, env),
  ).toMatchObject({
    programs: ["container"],
    image: { given: "mine:1", tag: "1" },
    isImageRequested: true,
    paths: ["/opt"],
  });
  const invalid = [
    [{ DOCKER_OVER_SSH_FAR: "moon" }, "one of auto, installed, node, container, node-sent, engine"],
    [{ DOCKER_OVER_SSH_SSH: 'ssh "' }, "a program and its options, with quotes in pairs"],
  ] as const;
  for (const [variable, expected] of invalid)
    expect(() => readConnection(["prod"], {}, variable)).toThrow(expect.objectContaining({ code: "usage", expected }));
});

describe("a word that is a local program and a host in the ssh settings", () => {
  const home = mkdtempSync(join(tmpdir(), "dos-home-"));
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(home, { recursive: true, force: true });
  });

  test("is rejected; the hint names an unambiguous form for each", () => {
    mkdirSync(join(home, ".ssh"));
    writeFileSync(join(home, ".ssh/config"), "Host other build *.example.com\n");
    writeFileSync(join(home, "build"), "#!/bin/sh\n");
    chmodSync(join(home, "build"), 0o755);
    vi.stubEnv("HOME", home);
    const env = { PATH: `/nowhere:${home}` };
    expect(() => readConnection(["build"], {}, env)).toThrow(
      expect.objectContaining({
        code: "usage",
        hint: `Write ssh://build for the host, or ${home}/build for the program.`,
      }),
    );
    expect(readConnection(["other"], {}, env)).toMatchObject({ kind: "host" });
  });
});

describe("in place of a command", () => {
  test.each<[string, string[]]>([
    ["an option", ["ssh://-oProxyCommand=x"]],
    ["a command instead of a user", ["ssh://$(x)@prod"]],
    ["a password", ["ssh://me:secret@prod"]],
    ["no host", ["ssh://"]],
    ["a socket", ["ssh://prod/run/docker.sock"]],
    ["an invalid container name", ["docker://-v"]],
    ["a pod without a namespace", ["kubectl://pod"]],
    ["an address with further words", ["ssh://prod", "docker", "system", "dial-stdio"]],
  ])("%s is rejected", (_, command) => {
    expect(() => readConnection(command)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  test("options of a host are valid only for ssh://HOST", () => {
    for (const [command, why] of [
      [[], "is for a host, but no host is given"],
      [["ssh", "prod", "docker system dial-stdio"], "is for ssh://HOST, but a command is passed on unchanged"],
    ] as const)
      for (const [options, name] of [
        [{ sudo: true }, "--sudo"],
        [{ far: "node" }, "--far"],
        [{ ssh: ["ssh"] }, "--ssh"],
      ] as const)
        expect(() => readConnection(command, options)).toThrow(`${name} ${why}`);
  });
});
