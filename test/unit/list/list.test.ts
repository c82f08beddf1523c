import { execa } from "execa";
import { expect, test } from "vitest";
import { parseHaveList } from "../../../src/have/parse-have-list.ts";
import { program } from "../command-line/cli.ts";
import { answer, fakeEngine } from "../engine/fake-engine.ts";

/** Runs `docker-over-ssh list` on an engine without images, with its stdout redirected by the shell. */
async function list(redirection: string) {
  await using engine = await fakeEngine({
    "GET /version": (_, response) => answer(response, 200, { Version: "28.5.2", Os: "linux", Arch: "amd64" }),
    "GET /info": (_, response) => answer(response, 200, { Driver: "overlay2" }),
    "GET /images/json": (_, response) => answer(response, 200, []),
  });
  const env = { DOCKER_HOST: `unix://${engine.socketPath}` };
  return await execa("sh", ["-c", `"$@" ${redirection}`, "sh", ...program, "list"], { env, reject: false });
}

test("prints one JSON object", async () => {
  const { exitCode, stdout } = await list("");
  expect(exitCode).toBe(0);
  expect(parseHaveList(Buffer.from(stdout)).engine.version).toBe("28.5.2");
});

test("reports a full disk, or a reader that has closed its pipe, as a failure", async () => {
  const full = await list("> /dev/full");
  expect(full.stderr).toContain("the list cannot be written: ENOSPC");
  expect(full.stderr).not.toContain("node:events");
  expect(full.exitCode).toBe(11);
  const closed = await list("| true");
  expect(closed.stderr).not.toContain("node:events");
});
