import { parseReference } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import { checkHostOf, namesHost, refuseAddressOf } from "../../../../src/guard/policy/registry-host.ts";

test.for([
  ["registry.example.com/team/*", true],
  ["registry.example.com/*", true],
  ["*", false],
  ["*.example.com/*", false],
  ["registry.example.com/other/*", false],
] as const)("%s names the host: %s", ([pattern, expected]) => {
  expect(namesHost([pattern], parseReference("registry.example.com/team/app:v1"))).toBe(expected);
});

test.for(["127.0.0.1:5000", "localhost:5000", "169.254.169.254", "127.1:80", "0x7f000001:80", "[::1]:5000"])(
  "a star does not match %s, but its name does",
  async (host) => {
    const reference = parseReference(`${host}/app:v1`);
    const refused = expect.objectContaining({ rule: "registry.not-public" }) as Error;
    await expect(checkHostOf(reference, ["*"])).rejects.toEqual(refused);
    expect(() => refuseAddressOf(reference, ["*"])).toThrow(refused);
    await checkHostOf(reference, ["*", `${host}/*`]);
    refuseAddressOf(reference, ["*", `${host}/*`]);
  },
);

test.for(["docker.io/library/alpine:3", "8.8.8.8/app"])("a star matches %s", async (name) => {
  await expect(checkHostOf(parseReference(name), ["*"])).resolves.toBeUndefined();
});

test("a name is not an address", () => {
  for (const host of ["registry.example.com", "localhost.example.com", "10.example", "a1:5000"])
    expect(() => refuseAddressOf(parseReference(`${host}/app`), ["*"])).not.toThrow();
});
