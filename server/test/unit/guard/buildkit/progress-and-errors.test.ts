import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, decodeBinaryHeader } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { checkMethods } from "../../../../src/guard/buildkit/sessions.ts";
import { grpcError } from "../../../../src/guard/buildkit/grpc-errors.ts";
import { refusedSource } from "../../../../src/guard/buildkit/refused-source.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";
import { statusForTenant, withoutForeignImages } from "../../../../src/guard/buildkit/status.ts";
import { ownBases } from "../../../../src/guard/buildkit/own-bases.ts";
import { sourcePolicy } from "../../../../src/guard/buildkit/source-policy.ts";
import { supportOf } from "../../../../src/guard/buildkit/engine-support.ts";
import { syntaxOf } from "../../../../src/guard/buildkit/syntax.ts";
import { StatusResponseSchema } from "../../../../src/guard/buildkit/gen/control_pb.ts";
import { StatusSchema } from "../../../../src/guard/buildkit/gen/gateway_pb.ts";
import { strictTenant } from "../../../fixtures/guard/buildkit-tenant.ts";

test("progress contains the tenant's names", () => {
  const status = create(StatusResponseSchema, {
    vertexes: [{ name: "[1/2] FROM guard.internal/ta/docker.io/library/app:1", error: "" }],
    statuses: [{ ID: "naming to guard.internal/tb/docker.io/library/x:1" }],
  });
  const { vertexes, statuses } = statusForTenant("ta", status);
  expect(vertexes[0]?.name).toBe("[1/2] FROM app:1");
  expect(statuses[0]?.ID).toBe("naming to (an image of another tenant)");
});

test("replaces names in a long line of a tenant quickly", () => {
  const name = `RUN echo guard.internal/tb/${".".repeat(1_000_000)}x`;
  const { vertexes } = statusForTenant("ta", create(StatusResponseSchema, { vertexes: [{ name }] }));
  expect(vertexes[0]?.name).toBe("RUN echo (an image of another tenant)");
  expect(syntaxOf(`# syntax=a${" ".repeat(1_000_000)}b`)).toHaveLength(1_000_002);
});

test("an error of the engine contains the tenant's names, without the engine's details", () => {
  const error = new ConnectError("pull guard.internal/ta/docker.io/library/app:1 failed", Code.Unknown, {
    "grpc-status-details-bin": "AAAA",
    "x-other": "1",
  });
  const answer = grpcError("ta", error);
  expect(answer.rawMessage).toBe("pull app:1 failed");
  expect([...answer.metadata.keys()]).toEqual([]);
  expect(grpcError("ta", new Error("secret path")).rawMessage).not.toContain("secret");
  expect(grpcError("ta", new Refusal("x", "no", { statusCode: 404 })).code).toBe(Code.NotFound);
});

test("an error keeps only the details that clients print", () => {
  const of = (name: string) => ({ typeUrl: `github.com/moby/buildkit/errdefs.${name}+json`, value: Buffer.from("{}") });
  const details = toBinary(StatusSchema, create(StatusSchema, { details: [of("Source"), of("Stack")] }));
  const error = new ConnectError("failed", Code.Unknown, {
    "grpc-status-details-bin": Buffer.from(details).toString("base64"),
  });
  const status = decodeBinaryHeader(grpcError("ta", error).metadata.get("grpc-status-details-bin") ?? "", StatusSchema);
  expect(status.details.map(({ typeUrl }) => typeUrl)).toEqual([of("Source").typeUrl]);
});

test("a source that the source policy has denied is refused by the rule that denies it", () => {
  const build = { own: { byName: new Map(), byEngineName: new Map() }, support: { hasSourcePolicies: true } };
  const { policy } = strictTenant();
  const ruleOf = (source: string): string | undefined =>
    refusedSource(new Error(`x: source "${source}" denied by policy: y`), policy, build)?.rule;
  expect(ruleOf("docker-image://docker.io/library/a:1")).toBe("base.refused");
  expect(ruleOf("docker-image://guard.internal/tb/docker.io/library/a:1")).toBe("base.refused");
  expect(ruleOf("https://example.com/x")).toBe("source.refused");
  expect(refusedSource(new Error("process did not complete"), policy, build)).toBeUndefined();
});

test("an old engine's error discloses neither the content nor the existence of an image that may not be used", () => {
  const build = { own: { byName: new Map(), byEngineName: new Map() }, support: { hasSourcePolicies: false } };
  const { policy } = strictTenant();
  const ruleOf = (message: string): string | undefined =>
    refusedSource(new ConnectError(message, Code.Unknown), policy, build)?.rule;
  const begin = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: ";
  // `EXPOSE $PASSWORD` on top of another tenant's image
  expect(ruleOf(`${begin}Invalid containerPort: topsecret`)).toBe("base.undisclosed");
  expect(ruleOf(`${begin}Invalid containerPort: dockerfile parse error topsecret`)).toBe("base.undisclosed");
  expect(ruleOf('failed to do request: Head "http://127.0.0.1:5000/v2/x": connection refused')).toBe(
    "base.undisclosed",
  );
  expect(ruleOf(`${begin}dockerfile parse error line 1: unknown instruction: FORM`)).toBeUndefined();
  const status = create(StatusResponseSchema, {
    vertexes: ["docker.io/library/host:1", "docker.io/library/base:1"].map((name) => ({
      name: `[internal] load metadata for ${name}`,
      error: "not found",
    })),
  });
  const { vertexes } = withoutForeignImages({ ...policy, bases: ["docker.io/library/base:1"] }, status);
  expect(vertexes.map(({ error }) => error)).toEqual(["", "not found"]);
});

test("a policy that allows every name does not allow those of other tenants", () => {
  const { policy } = strictTenant();
  const { rules } = sourcePolicy("ta", { ...policy, bases: ["*"] }, ownBases("ta", []));
  // If several rules match, the last one decides.
  const action = (source: string): number | undefined =>
    rules.findLast(({ selector }) => new RegExp(selector?.identifier ?? "", "i").test(`docker-image://${source}`))
      ?.action;
  expect(action("docker.io/library/any:1")).toBe(0);
  expect(action("guard.internal/tb/docker.io/library/app:1")).toBe(1);
  expect(action("guard.internal/ta/docker.io/library/app:1")).toBe(0);
});

test("a policy with a star for the host does not allow addresses, which the builder would contact", () => {
  const { policy } = strictTenant();
  const { rules } = sourcePolicy("ta", { ...policy, bases: ["*", "127.0.0.1:5000/*"] }, ownBases("ta", []));
  const action = (source: string): number | undefined =>
    rules.findLast(({ selector }) => new RegExp(selector?.identifier ?? "").test(`docker-image://${source}`))?.action;
  for (const host of [
    "169.254.169.254",
    "127.0.0.1:5001",
    "localhost:5000",
    "a.localhost",
    "[::1]:5000",
    "0x7f000001:80",
  ])
    expect({ host, action: action(`${host}/x:1`) }).toEqual({ host, action: 1 });
  for (const host of ["127.0.0.1:5000", "registry.example.com", "docker.io/library"])
    expect({ host, action: action(`${host}/127.0.0.1/x:1`) }).toEqual({ host, action: 0 });
  const denied = new Error('source "docker-image://169.254.169.254/x:1" denied by policy: evaluating');
  const build = { own: ownBases("ta", []), support: { hasSourcePolicies: true } };
  expect(refusedSource(denied, { ...policy, bases: ["*"] }, build)).toMatchObject({ rule: "registry.not-public" });
});

test("a session may have only known methods, and none that would change a build after its check", () => {
  expect(checkMethods(["/moby.filesync.v1.FileSync/DiffCopy", "/moby.exporter.v1.Exporter/FindExporters"])).toEqual([
    "/moby.filesync.v1.FileSync/DiffCopy",
  ]);
  expect(() => checkMethods(["/evil.Service/Call"])).toThrow(expect.objectContaining({ rule: "session.method" }));
});

test.for([
  ["# syntax=a/b:1\nFROM x", "a/b:1"],
  ["# escape=`\n#  Syntax = a/b \nFROM x", "a/b"],
  ["FROM x\n# syntax=a/b", undefined],
  ["# a comment\n# syntax=a/b", undefined],
])("the frontend of %j is %s", ([dockerfile, expected]) => {
  expect(syntaxOf(dockerfile ?? "")).toBe(expected);
});

test.for<[version: string, has: boolean]>([
  ["20.10.24+dfsg1", false],
  ["23.0.1", false],
  ["24.0.0", true],
  ["29.0.1", true],
  ["dev", false],
])("Docker %s has source policies: %s", ([version, has]) => {
  expect(supportOf(version).hasSourcePolicies).toBe(has);
});
