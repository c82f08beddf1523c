import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { Failure } from "docker-over-ssh/builds";
import { describe, expect, onTestFinished, test } from "vitest";
import { readSchemas } from "../../../../../scripts/schemas.ts";
import { parseGuardConfig, readGuardConfig } from "../../../../src/guard/config/read-config.ts";
import { TERM_KEYS } from "../../../../src/guard/config/read-terms.ts";

const EXAMPLE = {
  $schema: "https://example.com/guard.schema.json",
  defaults: { memory: "2g", allowBase: ["alpine"], maxBuilds: 2 },
  tenants: [
    { name: "a", socket: "/run/a.sock", labels: { team: "web" }, maxBuilds: 1, registryConfig: "a.json" },
    { name: "b", socket: "/run/b.sock", memory: 1073741824, cpus: 0.5, shareCache: false, network: "none" },
  ],
};
const schema = readSchemas().find(({ file }) => file === "docs/guard.schema.json");

function failureOf(config: unknown): Failure {
  const text = typeof config === "string" ? config : JSON.stringify(config);
  try {
    parseGuardConfig(text, "tenants.json");
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

test("gives a tenant its own settings, and those of the file for missing ones", () => {
  expect(parseGuardConfig(JSON.stringify(EXAMPLE), "/etc/guard/tenants.json")).toEqual([
    {
      id: "a",
      socket: "/run/a.sock",
      labels: { team: "web" },
      policy: { bases: ["docker.io/library/alpine"] },
      resources: { memory: 2 * 1024 ** 3 },
      quotas: { builds: 1 },
      registryConfig: "/etc/guard/a.json",
    },
    {
      id: "b",
      socket: "/run/b.sock",
      policy: { bases: ["docker.io/library/alpine"], sharesCache: false, hasNetwork: false },
      resources: { memory: 1024 ** 3, cpus: 0.5 },
      quotas: { builds: 2 },
    },
  ]);
});

const tenant = { name: "a", socket: "/run/a.sock" };

test.each([
  [{ tenant: [] }, 'unknown keys: "tenant"'],
  [{ tenants: [{ ...tenant, Memory: "1g" }] }, '"Memory"'],
  [{ tenants: [{ ...tenant, privileged: true }] }, '"privileged"'],
  [{ defaults: { name: "x" } }, '"name"'],
  [{ defaults: { allowBase: "alpine" } }, "allowBase is not a list"],
  [{ tenants: [{ ...tenant, memory: "much" }] }, 'tenant "a": memory: "much" cannot be used'],
  [{ tenants: [{ ...tenant, shareCache: "yes" }] }, "neither true nor false"],
  [{ tenants: [{ ...tenant, memory: null }] }, "is not a text"],
  [{ tenants: [{ ...tenant, labels: { x: 1 } }] }, 'the label "x" is not a text'],
  [{ tenants: [tenant, { ...tenant, name: "b" }] }, "have the same socket"],
  [{ tenants: [tenant, { ...tenant, socket: "/b" }] }, "two tenants have the name a"],
  [{ tenants: [{ socket: "/run/a.sock" }] }, "tenant 1 has no name"],
  [{ tenants: {} }, "is not a list"],
  [[], "is not an object"],
  ["1", "is not an object"],
  ["null", "is not an object"],
  [{ tenants: [{ ...tenant, labels: { "": "x" } }] }, 'the label "" is not a text'],
  [{ tenants: [{ ...tenant, socket: "/run/a\0.sock" }] }, "cannot have the socket"],
  ['{"tenants": [], "tenants": []}', 'has the key "tenants" twice'],
  ["{", "is not JSON"],
])("rejects %j", (config, words) => {
  const { code, message } = failureOf(config);
  expect(code).toBe("usage");
  expect(message).toContain(words);
});

test("rejects a file that others may write to, because they could grant any permission", async () => {
  const folder = await mkdtemp(join(tmpdir(), "guard-config-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "tenants.json");
  await writeFile(path, JSON.stringify(EXAMPLE));
  await chmod(path, 0o644);
  expect(await readGuardConfig(path)).toHaveLength(2);
  await chmod(path, 0o666);
  await expect(readGuardConfig(path)).rejects.toThrow(/others may write to .*--config/);
});

describe("docs/guard.schema.json", () => {
  test("is generated from the types; `npm run docs` updates it", () => expect(schema?.is).toBe(schema?.shouldBe));

  test("has each key that is read, and accepts valid configurations", () => {
    const { definitions, ...whole } = JSON.parse(schema?.shouldBe ?? "") as {
      definitions: Record<string, { properties: object }>;
    };
    const keys = Object.keys(definitions["TermsConfig"]?.properties ?? {});
    expect(new Set(keys)).toEqual(new Set(TERM_KEYS));
    const isValid = new Ajv({ allowUnionTypes: true }).compile({ definitions, ...whole });
    expect(isValid(EXAMPLE)).toBe(true);
    expect(isValid({ tenants: [{ ...tenant, privileged: true }] })).toBe(false);
  });
});
