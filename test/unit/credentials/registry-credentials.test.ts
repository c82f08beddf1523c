import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { registryCredentials } from "../../../src/credentials/registry-credentials.ts";
import { registryKey } from "../../../src/credentials/registry-host.ts";
import { parseReference } from "../../../src/image/reference.ts";
import type { Warning } from "../../../src/output/events.ts";

let home: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "credentials-"));
  env = { HOME: home, PATH: `${home}/bin:/usr/bin:/bin` };
});
afterEach(() => rm(home, { recursive: true }));

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const auth = (text: string): object => ({ auth: base64(text) });

async function write(path: string, content: object | string): Promise<void> {
  const file = join(home, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
}

/** Writes a program into a folder of PATH. */
async function helper(name: string, script: string): Promise<void> {
  await write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`);
  await chmod(join(home, `bin/docker-credential-${name}`), 0o755);
}

function opened(helperTimeout?: number) {
  const warnings: Warning[] = [];
  const credentials = registryCredentials({
    env,
    warn: (warning) => warnings.push(warning),
    ...(helperTimeout !== undefined && { helperTimeout }),
  });
  return { credentials, warnings };
}

test.each([
  ["docker.io", "https://index.docker.io/v1/"],
  ["registry-1.docker.io", "https://index.docker.io/v1/"],
  ["https://index.docker.io/v1/", "https://index.docker.io/v1/"],
  ["https://index.docker.io/v1/", "docker.io"],
  ["registry.example.com", "registry.example.com"],
  ["registry.example.com", "https://registry.example.com/v1/"],
  ["registry.example.com", "https://registry.example.com/v2/"],
  ["https://registry.example.com", "registry.example.com"],
  ["registry.example.com:5000", "http://registry.example.com:5000"],
  ["[::1]:5000", "[::1]:5000"],
])("finds the credentials for %s under %s", async (host, key) => {
  await write(".docker/config.json", { auths: { [key]: auth("me:pass:word"), "other.example.com": auth("no:no") } });
  const { credentials } = opened();
  expect(await credentials.for(host)).toEqual({ username: "me", password: "pass:word" });
});

test.each([
  ["registry.example.com", "registry.example.com:5000"],
  ["registry.example.com:5000", "registry.example.com"],
  ["example.com", "registry.example.com"],
  ["quay.io", "quay.io/team"],
])("finds no credentials for %s under %s", async (host, key) => {
  await write(".docker/config.json", { auths: { [key]: auth("me:password") } });
  expect(await opened().credentials.for(host)).toBeUndefined();
});

test("an identity token has priority over a password", async () => {
  const entry = { ...auth("me:password"), identitytoken: "token" };
  await write(".docker/config.json", { auths: { "example.com": entry } });
  expect(await opened().credentials.for("example.com")).toEqual({ username: "<token>", password: "token" });
});

test("DOCKER_CONFIG names another folder, and DOCKER_AUTH_CONFIG has priority over it", async () => {
  await write("elsewhere/config.json", { auths: { "a.example.com": auth("a:1"), "b.example.com": auth("b:1") } });
  env["DOCKER_CONFIG"] = join(home, "elsewhere");
  env["DOCKER_AUTH_CONFIG"] = JSON.stringify({ auths: { "a.example.com": auth("a:2") } });
  const { credentials } = opened();
  expect(await credentials.for("a.example.com")).toEqual({ username: "a", password: "2" });
  expect(await credentials.for("b.example.com")).toEqual({ username: "b", password: "1" });
});

test.each([
  ["run/containers/auth.json", { XDG_RUNTIME_DIR: "run" }],
  [".config/containers/auth.json", {}],
  ["auth.json", { REGISTRY_AUTH_FILE: "auth.json" }],
])("uses Podman's file %s if docker has none", async (path, variables) => {
  await write(".docker/config.json", { auths: { "a.example.com": auth("docker:1") } });
  await write(path, { auths: { "a.example.com": auth("podman:2"), "docker.io": auth("podman:3") } });
  for (const [name, value] of Object.entries(variables)) env[name] = join(home, value);
  const { credentials } = opened();
  expect(await credentials.for("a.example.com")).toEqual({ username: "docker", password: "1" });
  expect(await credentials.for("docker.io")).toEqual({ username: "podman", password: "3" });
});

test("a helper receives the registry on stdin and no secret in an argument; it runs once", async () => {
  await helper(
    "store",
    `echo "$@ $(cat)" >> ${home}/asked; echo '{"ServerURL":"x","Username":"me","Secret":"from store"}'`,
  );
  await helper("gcr", `cat >/dev/null; echo '{"Username":"<token>","Secret":"from gcr"}'`);
  await write(".docker/config.json", { auths: { "a.io": {} }, credsStore: "store", credHelpers: { "gcr.io": "gcr" } });
  const { credentials, warnings } = opened();
  expect(await credentials.for("docker.io")).toEqual({ username: "me", password: "from store" });
  expect(await credentials.for("https://index.docker.io/v1/")).toEqual({ username: "me", password: "from store" });
  expect(await credentials.for("gcr.io")).toEqual({ username: "<token>", password: "from gcr" });
  const { readFile } = await import("node:fs/promises");
  expect(await readFile(join(home, "asked"), "utf8")).toBe("get https://index.docker.io/v1/\n");
  expect(warnings).toEqual([]);
});

test("a helper without credentials is not a failure", async () => {
  await helper("store", "cat >/dev/null; echo credentials not found in native keychain; exit 1");
  await write(".docker/config.json", { credsStore: "store" });
  const { credentials, warnings } = opened();
  expect(await credentials.for("example.com")).toBeUndefined();
  expect(warnings).toEqual([]);
});

test.each([
  ["is missing", undefined, "is not installed"],
  ["fails", "echo 'gpg: no secret key'; exit 2", "ended with status 2: gpg: no secret key"],
  ["fails and prints what it keeps", `echo '{"Secret":"hunter2"}'; exit 2`, "ended with status 2"],
  ["does not read and prints no JSON", "echo hunter2", "has not answered in JSON"],
  ["prints something else", "echo []", "has answered without a username and a secret"],
  ["hangs", "exec sleep 600", "has not answered within 0.2 s"],
])("a helper that %s causes a single warning, and no failure", async (_, script, error) => {
  if (script !== undefined) await helper("store", script);
  await write(".docker/config.json", { credsStore: "store" });
  const { credentials, warnings } = opened(script?.includes("sleep") === true ? 200 : undefined);
  expect(await credentials.for("a.example.com")).toBeUndefined();
  expect(await credentials.for("b.example.com")).toBeUndefined();
  const warning = { code: "credential-helper-failed", helper: "docker-credential-store", registry: "a.example.com" };
  expect(warnings).toEqual([{ ...warning, error }]);
});

test("the name of a helper cannot lead to another folder", async () => {
  await write(".docker/config.json", { credsStore: "/../../bin/sh" });
  const { credentials, warnings } = opened();
  expect(await credentials.for("example.com")).toBeUndefined();
  expect(warnings).toMatchObject([{ error: "is not the name of a program" }]);
});

test.each(["{", '{"auths": "hunter2', "\u0000"])(
  "a file with %j is a warning that shows nothing of it",
  async (content) => {
    await write(".docker/config.json", content);
    const { credentials, warnings } = opened();
    expect(await credentials.for("example.com")).toBeUndefined();
    expect(warnings).toEqual([
      { code: "credentials-unreadable", file: join(home, ".docker/config.json"), error: "it is not JSON" },
    ]);
  },
);

test.each([
  [{}, false],
  ["", false],
  [{ auths: { "example.com": {} } }, false],
  [{ auths: { "example.com": { auth: "!" } } }, false],
  [{ auths: null, credHelpers: [] }, false],
  [{ auths: { "example.com": auth("me:password") } }, true],
  [{ credsStore: "missing" }, true],
  [{ credHelpers: { "gcr.io": "gcr" } }, true],
])("with %j, credentials may exist: %s", async (content, expected) => {
  await write(".docker/config.json", content);
  expect(await opened().credentials.hasAny()).toBe(expected);
});

test("without any file, there are no credentials", async () => {
  const { credentials, warnings } = opened();
  expect(await credentials.for("example.com")).toBeUndefined();
  expect(await credentials.hasAny()).toBe(false);
  expect(warnings).toEqual([]);
});

test("util.inspect does not show a password", async () => {
  await write(".docker/config.json", { auths: { "example.com": auth("me:hunter2") } });
  const found = await opened().credentials.for("example.com");
  expect(inspect({ found }, { depth: 9, showHidden: true })).not.toContain("hunter2");
  expect(JSON.stringify(found)).toContain("hunter2");
});

test.each([
  ["app", "https://index.docker.io/v1/"],
  ["docker.io/library/app:v2", "https://index.docker.io/v1/"],
  ["registry.example.com:5000/team/app@sha256:" + "0".repeat(64), "registry.example.com:5000"],
  ["localhost/app", "localhost"],
])("the registry of %s is %s", (reference, host) => expect(registryKey(parseReference(reference).domain)).toBe(host));
