import { afterEach, expect, test } from "vitest";
import type { Policy } from "../../../../src/guard/policy/policy.ts";
import { frontBed, type FrontBed } from "../../../fixtures/guard/front-bed.ts";
import { standInBackend, standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";

let bed: FrontBed | undefined;
afterEach(async () => await bed?.[Symbol.asyncDispose]());

/** @returns the requests that a login sends to the registry, and the rule that decided */
async function login(policy: Partial<Policy>, config: object): Promise<{ requests: string[]; rule: string }> {
  const requests: string[] = [];
  const backend = standInBackend({
    login: async (_caller, registry) => {
      requests.push(registry);
      return undefined;
    },
  });
  const { policy: strict, ...tenant } = standInTenant();
  bed = await frontBed({ backend, tenant: { ...tenant, policy: { ...strict, pushes: [], ...policy } } });
  const body = JSON.stringify(config);
  const head = `Host: docker\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  await bed.send(`POST /auth HTTP/1.1\r\n${head}\r\n${body}`, "}\n");
  return { requests, rule: bed.entries[0]?.rule ?? "" };
}

const ANN = { username: "ann", password: "hunter2" };

test.for<[policy: Partial<Policy>, address: string, registry: string]>([
  [{ pushes: ["registry.example.com/team/*"] }, "registry.example.com", "registry.example.com"],
  [{ pulls: ["registry.example.com/*"] }, "https://registry.example.com/v2/", "registry.example.com"],
  [{ bases: ["docker.io/library/*"] }, "https://index.docker.io/v1/", "docker.io"],
  [{ bases: ["docker.io/library/*"] }, "", "docker.io"],
  [{ pushes: ["127.0.0.1:5000/*"] }, "127.0.0.1:5000", "127.0.0.1:5000"],
])("%j: the login queries %s", async ([policy, serveraddress, registry]) => {
  expect(await login(policy, { ...ANN, serveraddress })).toEqual({ requests: [registry], rule: "system.login" });
});

test.for<[rule: string, policy: Partial<Policy>, address: string]>([
  ["login.registry", {}, "registry.example.com"],
  ["login.registry", { pushes: ["registry.example.com/*"] }, "registry.example.com:5000"],
  ["login.registry", { pushes: ["*.example.com/*"] }, "evil.example"],
  ["registry.not-public", { pushes: ["*"] }, "127.0.0.1:22"],
  ["registry.not-public", { pulls: ["*"] }, "http://169.254.169.254/latest/meta-data"],
  ["registry.not-public", { pulls: ["*:5000/*"] }, "localhost:5000"],
])("%s: %j: the login does not query %s", async ([rule, policy, serveraddress]) => {
  expect(await login(policy, { ...ANN, serveraddress })).toEqual({ requests: [], rule });
});
