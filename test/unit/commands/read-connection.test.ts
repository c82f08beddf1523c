import { describe, expect, test } from "vitest";
import { readConnection } from "../../../src/commands/read-connection.ts";

test.each<[string[], string]>([
  [[], "spawned"],
  [["ssh", "prod"], "command"],
  [["docker-over-ssh"], "command"],
  [["x", "ssh://prod"], "command"],
  [["ssh", "prod", "docker-over-ssh pull app"], "command"],
  [["ssh", "prod", "docker", "system", "dial-stdio"], "engine"],
  [["ssh", "prod", "sudo podman system  dial-stdio"], "engine"],
  [["ssh", "prod", "docker system dial-stdio "], "command"],
  [["ssh://prod"], "ssh"],
])("%j is a connection of the kind %s", (command, kind) => {
  expect(readConnection(command)).toMatchObject(
    kind === "command" || kind === "engine" ? { kind, words: command } : { kind },
  );
});

test("ssh://[user@]host[:port] is parsed", () => {
  expect(readConnection(["ssh://deploy@prod:2222"], true)).toEqual({
    kind: "ssh",
    given: "ssh://deploy@prod:2222",
    address: { protocol: "ssh", user: "deploy", hostname: "prod", port: 2222 },
    sudo: true,
  });
});

describe("in place of a command", () => {
  test.each<[string, string[]]>([
    ["an option", ["ssh://-oProxyCommand=x"]],
    ["a command in the user's place", ["ssh://$(x)@prod"]],
    ["a password", ["ssh://me:secret@prod"]],
    ["no host", ["ssh://"]],
    ["a socket", ["ssh://prod/run/docker.sock"]],
    ["words behind it", ["ssh://prod", "docker", "system", "dial-stdio"]],
  ])("%s is refused", (_, command) => {
    expect(() => readConnection(command)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  test("--sudo is for ssh://HOST alone", () => {
    for (const command of [[], ["ssh", "prod", "docker system dial-stdio"]])
      expect(() => readConnection(command, true)).toThrow("--sudo is for ssh://HOST");
  });
});
