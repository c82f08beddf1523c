import { expect, test } from "vitest";
import { readRegistryAuth } from "../../../../src/guard/request/registry-auth.ts";

const read = (config: object) => readRegistryAuth(Buffer.from(JSON.stringify(config)).toString("base64url"));

test("reads docker-py's answer of a credential store like docker's", () => {
  expect(read({ ServerAddress: "r.example", Username: "ann", Password: "p" })).toEqual({
    username: "ann",
    password: "p",
  });
  expect(read({ ServerAddress: "r.example", IdentityToken: "t" })).toEqual({
    username: "",
    password: "",
    identityToken: "t",
  });
});

test.each([
  ["auth.invalid", { username: "ann", Username: "bob" }],
  ["auth.invalid", { password: "p", Password: "p" }],
  ["auth.invalid", { identitytoken: "t", IdentityToken: "t" }],
  ["auth.invalid", { username: "ann", serveraddress: "a.example", ServerAddress: "b.example" }],
  ["auth.invalid", { IdentityToken: "a\nb" }],
  ["json.case", { USERNAME: "ann" }],
])("%s: %j", (rule, config) => {
  expect(() => read(config)).toThrow(expect.objectContaining({ rule }));
});
