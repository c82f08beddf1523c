import { expect, test } from "vitest";
import { checkNamedAddress, lookupPublic } from "../../../../src/guard/push/reachable.ts";
import { parseChallenge } from "../../../../src/guard/push/token-auth.ts";
import { parsePushRoute } from "../../../../src/guard/push/push-route.ts";

const registry = new URL("https://registry.example.com:5000");

test.for([
  ["https://auth.example.com/token", false],
  ["https://auth.example.com/token", true],
  ["https://registry.example.com:5000/upload", true],
  ["https://10.0.0.1/upload", false],
] as const)("follows to %s (only public: %s)", ([url, onlyPublic]) => {
  expect(() => checkNamedAddress(new URL(url), registry, onlyPublic)).not.toThrow();
});

test.for([
  ["http://auth.example.com/token", false, "push.foreign-address"],
  ["http://169.254.169.254/", false, "push.foreign-address"],
  ["http://registry.example.com:5000/", false, "push.foreign-address"],
  ["ftp://registry.example.com:5000/", false, "push.foreign-address"],
  ["https://user@auth.example.com/", false, "push.foreign-address"],
  ["https://:password@auth.example.com/", false, "push.foreign-address"],
  ["https://10.0.0.1/upload", true, "push.not-public"],
  ["https://[::1]/upload", true, "push.not-public"],
  ["https://0x7f.1/upload", true, "push.not-public"],
] as const)("does not follow to %s (only public: %s)", ([url, onlyPublic, rule]) => {
  expect(() => checkNamedAddress(new URL(url), registry, onlyPublic)).toThrow(expect.objectContaining({ rule }));
});

test("fails to look up a name whose address is not public", async () => {
  const found = await new Promise<unknown>((resolve) => {
    lookupPublic("localhost", {}, (error, address) => resolve(error ?? address));
  });
  expect(found).toMatchObject({ rule: "push.not-public" });
});

test.for([
  ['Basic realm="x"', { scheme: "basic" }],
  ["basic", { scheme: "basic" }],
  ['Bearer realm="https://a/t",service="s, t",scope="x"', { scheme: "bearer", realm: "https://a/t", service: "s, t" }],
  ['Basic realm="x", Bearer realm="https://a/t"', { scheme: "bearer", realm: "https://a/t", service: undefined }],
  ['Bearer realm="not an address"', undefined],
  ["Negotiate", undefined],
  [undefined, undefined],
] as const)("parses the challenge %s", ([header, expected]) => {
  expect(parseChallenge(header)).toEqual(expected);
});

test("accepts only a digest in the query of an upload", () => {
  const name = { host: "127.0.0.1:1", repository: "r", tag: "t" };
  const digest = `sha256:${"a".repeat(64)}`;
  expect(parsePushRoute("PUT", `/v2/r/blobs/uploads/1?digest=${digest}&mount=x`, name)).toEqual({
    kind: "upload",
    method: "PUT",
    id: "1",
    digest,
  });
  expect(parsePushRoute("PUT", "/v2/r/blobs/uploads/1?digest=sha256:1", name)).toBeUndefined();
  expect(parsePushRoute("PUT", "/v2/r/blobs/uploads/1", name)).toBeUndefined();
  expect(parsePushRoute("HEAD", `/v2/r/blobs/${digest}`, name)).toBeDefined();
  expect(parsePushRoute("HEAD", `/v2/x/blobs/${digest}`, name)).toBeUndefined();
});
