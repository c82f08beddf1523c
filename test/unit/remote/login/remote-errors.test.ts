import { expect, test } from "vitest";
import { readConnection } from "../../../../src/commands/options/read-connection.ts";
import { engineUnreachable, noUsableProgram } from "../../../../src/remote/login/remote-errors.ts";
import type { RemoteCommand } from "../../../../src/remote/login/remote-command.ts";
import type { HostConnection } from "../../../../src/request.ts";

const auto = readConnection(["ssh://prod"], {}, {}) as HostConnection;
const NOTHING = ["installed: not found", "node: not found", "container: docker not found", "engine: not found"];

test.each<[string, HostConnection, string[], string]>([
  ["nothing is installed", auto, NOTHING, "neither docker-over-ssh nor docker nor podman is installed on ssh://prod"],
  [
    "docker-over-ssh is installed, and cannot be used",
    auto,
    ["installed: status 8", ...NOTHING.slice(1)],
    "no program on ssh://prod can run the remote side: installed: status 8; node: not found; container: docker not found; engine: not found",
  ],
  [
    "only the engine is requested",
    { ...auto, programs: ["engine"] },
    ["engine: not found"],
    "neither docker nor podman is installed on ssh://prod",
  ],
])("names what is missing if %s", (_, connection, skipped, message) => {
  expect(noUsableProgram(connection, skipped, "/usr/bin")).toMatchObject({
    code: "remote-command-not-found",
    message,
    hint: "Install docker there, or name its folder with --far-path.",
  });
});

test("names the option and the variable that have chosen a program which cannot be used", () => {
  expect(noUsableProgram({ ...auto, programs: ["node"] }, ["node: not found"], "/usr/bin")).toMatchObject({
    message: "no program on ssh://prod can run the remote side: node: not found",
    hint: "Omit --far, and unset DOCKER_OVER_SSH_FAR, to use any program that works there; or name a folder with --far-path.",
  });
});

test("does not demand a login without questions, because ssh may ask on a terminal", () => {
  const link = { words: "ssh://prod", byHand: "ssh prod docker version", lastLines: () => "" };
  expect(engineUnreachable(link as RemoteCommand, { status: 255 }, "")).toMatchObject({
    code: "engine-unreachable",
    expected: "a login that succeeds, and a running engine that this user may use",
    hint: "Try `ssh prod docker version`: it must succeed; without a terminal, it must ask no question.",
  });
});
