import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseReference } from "docker-over-ssh/builds";
import { expect, onTestFinished, test } from "vitest";
import { guardCredentials } from "../../../../src/guard/push/guard-credentials.ts";
import { failureIn, tenantsLine } from "../../../../src/guard/push/push-lines.ts";
import { parsePushRoute } from "../../../../src/guard/push/push-route.ts";
import { standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";

const name = { host: "127.0.0.1:40000", repository: "docker-over-ssh-guard/1/2", tag: "push-1" };
const reference = parseReference("registry.example.com/team/app:v1");
const DIGEST = `sha256:${"a".repeat(64)}`;

test("a line contains the tenant's names, and only properties that docker reads", () => {
  const line = {
    status: `push-1: to 127.0.0.1:40000, repository docker-over-ssh-guard/1/2`,
    progressDetail: { current: 1, total: 2, other: "127.0.0.1" },
    other: 1,
  };
  expect(tenantsLine(line, name, reference)).toEqual({
    status: "v1: to registry.example.com, repository team/app",
    progressDetail: { current: 1, total: 2 },
  });
  expect(tenantsLine({ progress: "1 of 2" }, name, reference)).toBeUndefined();
});

test("a failure contains the tenant's names, and is shortened", () => {
  const failed = {
    errorDetail: { message: `http://127.0.0.1:40000/v2/docker-over-ssh-guard/1/2/x${"x".repeat(9999)}` },
  };
  const { message = "" } = failureIn(failed, name, reference) ?? {};
  expect(message).toMatch(/^https:\/\/registry\.example\.com\/v2\/team\/app\/x/);
  expect(message.length).toBeLessThan(5000);
});

test("rejects a path below a blob or a manifest", () => {
  const at = `/v2/${name.repository}`;
  expect(parsePushRoute("HEAD", `${at}/blobs/${DIGEST}`, name)).toEqual({ kind: "check", path: `blobs/${DIGEST}` });
  expect(parsePushRoute("HEAD", `${at}/blobs/${DIGEST}/more`, name)).toBeUndefined();
});

test("recognizes an identity token of the guard by its user name", async () => {
  const folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const registryConfig = join(folder, "config.json");
  const auths = { "registry.example.com": { auth: btoa("<token>:identity"), identitytoken: "identity" } };
  writeFileSync(registryConfig, JSON.stringify({ auths }));
  const found = await guardCredentials(standInTenant({ registryConfig }), "registry.example.com", {});
  expect(found).toEqual({ username: "", password: "", identityToken: "identity" });
});
