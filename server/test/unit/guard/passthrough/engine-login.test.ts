import { expect, test } from "vitest";
import type { Caller } from "../../../../src/guard/caller.ts";
import { EngineAnswer, type EngineRequest } from "../../../../src/guard/engine/engine-api.ts";
import { engineLogin } from "../../../../src/guard/passthrough/engine-login.ts";
import { standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";

const caller: Caller = {
  tenant: standInTenant(),
  apiVersion: undefined,
  signal: new AbortController().signal,
  note: {},
};
const ANN = { username: "ann", password: "hunter2" };

test("sends the engine its own name of Docker Hub, and passes its token on", async () => {
  const requests: EngineRequest[] = [];
  const login = engineLogin({
    json: async (request) => {
      requests.push(request);
      return { Status: "Login Succeeded", IdentityToken: "token" };
    },
  });
  expect(await login(caller, "docker.io", ANN)).toBe("token");
  await login(caller, "registry.example.com:5000", ANN);
  expect(requests.map(({ method, path, body }) => ({ method, path, body }))).toEqual([
    { method: "POST", path: "/auth", body: { ...ANN, serveraddress: "https://index.docker.io/v1/" } },
    { method: "POST", path: "/auth", body: { ...ANN, serveraddress: "registry.example.com:5000" } },
  ]);
});

test.each(["no hunter2 here", `Authorization: Basic ${btoa("ann:hunter2")}`])(
  "keeps a password in a registry's error out of audit lines: %s",
  async (words) => {
    const login = engineLogin({ json: () => Promise.reject(new EngineAnswer(401, words)) });
    const error: unknown = await login(caller, "registry.example.com", ANN).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ statusCode: 401, rule: "login.failed" });
    expect(String(error)).not.toContain(words);
  },
);

test("refuses a registry token, which the engine would not check", async () => {
  const login = engineLogin({ json: () => Promise.resolve({ Status: "Login Succeeded" }) });
  await expect(login(caller, "registry.example.com", { ...ANN, registryToken: "x" })).rejects.toMatchObject({
    rule: "login.token",
  });
});
