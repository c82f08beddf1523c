import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import { hiddenCredentials } from "../../../../src/credentials/hidden-credentials.ts";
import { Masks } from "../../../src/worker/masks.ts";
import { RunBed, type Given } from "../../fixtures/run-bed.ts";

const OF_JOB = hiddenCredentials("job-user", "password/of+the job");
const OF_SERVER = { username: "server-user", password: "password-of-the-server" };

/**
 * Returns the users that a build gets for registries, on a server whose docker config has credentials for all of them.
 */
async function usersFor(hosts: readonly string[], given: Given): Promise<(string | undefined)[]> {
  using bed = new RunBed();
  const auth = Buffer.from(`${OF_SERVER.username}:${OF_SERVER.password}`).toString("base64");
  const known = ["registry.example.com", "other.example.com", "https://index.docker.io/v1/"];
  const auths = Object.fromEntries(known.map((host) => [host, { auth }]));
  writeFileSync(join(bed.folder, "config.json"), JSON.stringify({ auths }));
  let users: (string | undefined)[] = [];
  bed.engine.onBuild = async (_, { answers }) => {
    users = await Promise.all(hosts.map(async (host) => (await answers.credentials(host))?.username));
  };
  expect(await bed.run(given)).toEqual({ state: "succeeded" });
  return users;
}

test("uses credentials of a job only for the registry in its name, and the server's for others", async () => {
  const hosts = ["registry.example.com", "other.example.com", "registry.example.com:5000", "none.example.com"];
  expect(await usersFor(hosts, { credentials: OF_JOB })).toEqual(["job-user", "server-user", undefined, undefined]);
});

test("treats a name without a registry as Docker Hub's, whatever the engine calls that", async () => {
  const given = { name: "team/app:v1", credentials: OF_JOB };
  const hosts = ["https://index.docker.io/v1/", "docker.io", "registry.example.com"];
  expect(await usersFor(hosts, given)).toEqual(["job-user", "job-user", "server-user"]);
});

test("uses the server's without credentials in the job", async () => {
  expect(await usersFor(["registry.example.com"], {})).toEqual(["server-user"]);
});

test.each([
  ["as it is", OF_JOB.password],
  ["in an address", encodeURIComponent(OF_JOB.password)],
  ["in base64", Buffer.from(`${OF_JOB.username}:${OF_JOB.password}`).toString("base64")],
  ["of the server", OF_SERVER.password],
])("masks a password that an engine repeats, %s, in the log and in the reason", async (_, secret) => {
  using bed = new RunBed();
  const auth = Buffer.from(`${OF_SERVER.username}:${OF_SERVER.password}`).toString("base64");
  writeFileSync(join(bed.folder, "config.json"), JSON.stringify({ auths: { "other.example.com": { auth } } }));
  bed.engine.onBuild = async (__, { answers, onEvent }) => {
    await answers.credentials("other.example.com");
    onEvent({ type: "build-text", text: `the header was ${secret}.\n` });
    throw new Failure("build-failed", `refused: ${secret}.`, {
      expected: `not ${secret}.`,
      hint: `without ${secret}.`,
    });
  };
  const outcome = await bed.run({ credentials: OF_JOB });
  const reason = { code: "build-failed", message: "refused: ***.", expected: "not ***.", hint: "without ***." };
  expect(outcome).toEqual({ state: "failed", reason });
  expect(bed.lines).toContain("the header was ***.");
  expect(bed.log + JSON.stringify(bed.updates)).not.toContain(secret);
});

test("does not mask a password of three characters, which would destroy a text", () => {
  const masks = new Masks();
  masks.add({ username: "u", password: "abc" });
  expect(masks.hide("abcd")).toBe("abcd");
});
