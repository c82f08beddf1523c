import { join } from "node:path";
import { expect, test } from "vitest";
import { rejection, temporaryFolder } from "../../../../test/unit/engine/fake-engine.ts";
import { addToken } from "../../../src/access/new-token.ts";
import { openAccess } from "../../../src/access/open-access.ts";
import type { ListenAddress } from "../../../src/settings.ts";

const tcp = (host: string): ListenAddress => ({ kind: "tcp", host, port: 8080 });

test.each([
  tcp("127.0.0.1"),
  tcp("127.8.8.8"),
  tcp("::1"),
  tcp("::ffff:127.0.0.1"),
  tcp("localhost"),
  { kind: "unix", path: "/run/a.sock" } as const,
])("allows everybody on this machine without tokens: %j", async (listen) => {
  const access = await openAccess({ listen });
  expect(access.needsToken).toBe(false);
  expect(access.client(undefined)).toEqual({
    name: "anonymous",
    scopes: new Set(["build", "read", "admin"]),
    limits: {},
  });
});

test.each([
  "0.0.0.0",
  "::",
  "10.0.0.7",
  "192.0.2.1",
  "builds.example.com",
  "localhost.example.com",
  "127.0.0.1.example.com",
  "",
])("refuses to start on %j without tokens", async (host) => {
  const error = await rejection(openAccess({ listen: tcp(host) }));
  expect(error.code).toBe("usage");
  expect(error.message).toContain("refuses to start");
});

test("starts anywhere with tokens, and requires them on loopback as well", async () => {
  await using folder = await temporaryFolder();
  const tokenFile = join(folder.path, "tokens.json");
  const token = await addToken(tokenFile, { name: "ci" });
  for (const host of ["0.0.0.0", "127.0.0.1"]) {
    const access = await openAccess({ tokenFile, listen: tcp(host) });
    expect([access.client(undefined), access.client(token)?.name]).toEqual([undefined, "ci"]);
  }
});
