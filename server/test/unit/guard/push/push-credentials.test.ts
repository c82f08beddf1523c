import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { digestOf, LAYER, type PushScript } from "../../../fixtures/guard/pushing-engine.ts";
import { usePushBed } from "../../../fixtures/guard/push-bed.ts";
import { REGISTRY_USER } from "../../../fixtures/guard/stand-in-registry.ts";

const { push, registryWith } = usePushBed();

test.for(["basic", "token"] as const)("logs in by %s without sending the credentials to the engine", async (auth) => {
  const registry = await registryWith({ auth });
  const { engine, error } = await push({ host: registry.host, credentials: REGISTRY_USER });
  expect(error).toBeUndefined();
  expect(registry.manifests.size).toBe(1);
  expect(engine.auths.join()).not.toContain("secret");
});

test("requests one token that may push for all requests", async () => {
  const registry = await registryWith({ auth: "token" });
  await push({ host: registry.host, credentials: REGISTRY_USER });
  expect(
    registry.tokenQueries.map((query) => [query.get("scope"), query.get("service"), query.get("account")]),
  ).toEqual([["repository:team/app:pull,push", "tests", "user"]]);
});

test("requests a token with an identity token", async () => {
  const registry = await registryWith({ auth: "token" });
  const credentials = { username: "", password: "", identityToken: "identity" };
  expect((await push({ host: registry.host, credentials })).error).toBeUndefined();
  expect(registry.tokenForms[0]?.get("grant_type")).toBe("refresh_token");
});

test("requests a new token when the registry no longer accepts the old one", async () => {
  const registry = await registryWith({ auth: "token", tokenUses: 2 });
  const script: PushScript = async function* (send, at) {
    for (let round = 0; round < 6; round++)
      yield { status: String((await send("HEAD", `${at}/blobs/${digestOf(LAYER)}`)).status) };
  };
  const { lines } = await push({ host: registry.host, credentials: REGISTRY_USER, script });
  expect(lines.slice(1).map(({ status }) => status)).toEqual(Array(6).fill("404"));
  expect(registry.tokens).toBe(3);
});

test("gives up when the registry accepts no token", async () => {
  const registry = await registryWith({ auth: "token", tokenUses: 0 });
  const { error, note } = await push({ host: registry.host, credentials: REGISTRY_USER });
  expect(error).toContain("unauthorized");
  expect(note.rule).toBe("push.denied");
  expect(registry.requests.length).toBeLessThan(12);
});

test("prefers the guard's credentials to the tenant's", async () => {
  const registry = await registryWith({ auth: "basic" });
  const folder = mkdtempSync(join(tmpdir(), "dos-guard-push-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const registryConfig = join(folder, "config.json");
  writeFileSync(registryConfig, JSON.stringify({ auths: { [registry.host]: { auth: btoa("user:secret") } } }));
  const credentials = { username: "tenant", password: "wrong" };
  expect((await push({ host: registry.host, credentials, registryConfig })).error).toBeUndefined();
  writeFileSync(registryConfig, "{");
  await expect(push({ host: registry.host, credentials: REGISTRY_USER, registryConfig })).rejects.toMatchObject({
    rule: "push.credentials",
    message: expect.not.stringContaining(folder) as string,
  });
});

test.for([
  ["basic", /^unauthorized: authentication required$/],
  ["token", /the token service of .* has answered with status 401: the credentials are not accepted/],
] as const)("reports wrong credentials: %s", async ([auth, words]) => {
  const registry = await registryWith({ auth });
  const { error, note } = await push({ host: registry.host, credentials: { username: "user", password: "wrong" } });
  expect(error).toMatch(words);
  expect(note.rule).toBe("push.denied");
  expect(registry.manifests.size).toBe(0);
});
