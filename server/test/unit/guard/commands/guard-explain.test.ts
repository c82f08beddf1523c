import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test } from "vitest";
import { explainRequest } from "../../../../src/commands/guard-explain.ts";
import { SolveRequestSchema } from "../../../../src/guard/buildkit/gen/control_pb.ts";

async function explanationOf(...words: string[]): Promise<string> {
  let printed = "";
  await explainRequest(words, (text) => (printed += text)).catch((error: unknown) => {
    const { code, message } = error as { code?: string; message: string };
    printed += `${code}: ${message}`;
  });
  return printed;
}

async function fileWith(content: string | Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "guard-explain-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "body");
  await writeFile(path, content);
  return path;
}

test.each([
  ["POST /v1.51/build?t=app", "allowed by build:"],
  ["GET /images/json", "allowed by image.list:"],
  ["get /images/json", "allowed by image.list:"],
  ["POST /v1.51/grpc", "allowed by buildkit.grpc:"],
  ["POST /session", "allowed by buildkit.session:"],
])("%s: %s", async (request, words) => expect(await explanationOf(request)).toContain(words));

test.each([
  [
    "POST /containers/create",
    "refused by call.refused, with status 403\nrefused: POST /containers/create is not allowed",
  ],
  ["GET /v1.51/containers/x/archive?path=/", "refused by call.refused"],
  ["GET //images/json", "refused by target.segments"],
  ["GET /images/json?All=1", "refused by query.case"],
  ["POST /build?networkmode=host", "refused by "],
  ["build", 'usage: "build" is not a request'],
])("%s: %s", async (request, words) => expect(await explanationOf(request)).toContain(words));

test("parses a body like the guard", async () => {
  const path = await fileWith('{"username":"a","Serveraddress":"b"}');
  expect(await explanationOf("POST /auth", "--body", path)).toContain("refused by json.");
  expect(await explanationOf("POST /auth", "--body", join(path, "none"))).toContain("usage: ");
});

test("uses the given headers", async () => {
  const words = ["--header", "Content-Length: 0", "--header", "Transfer-Encoding: chunked"];
  expect(await explanationOf("GET /images/json", ...words)).toContain("refused by header.framing");
});

test("uses the options as the policy", async () => {
  const push = "POST /images/registry.example.com/team/app/push?tag=v1";
  expect(await explanationOf(push)).toContain("refused by push.refused");
  expect(await explanationOf(push, "--allow-push", "registry.example.com/team/*")).toContain("allowed by image.push");
  const build = "POST /build?remote=https%3A%2F%2Fexample.com%2Fa%2Fcontext.tar";
  expect(await explanationOf(build)).toContain("refused by source.refused");
  expect(await explanationOf(build, "--allow-source", "https://example.com/a/")).toContain("allowed by build");
});

describe("a gRPC message", () => {
  const SOLVE = "/moby.buildkit.v1.Control/Solve";
  async function solve(fields: object): Promise<string> {
    const bytes = toBinary(SolveRequestSchema, create(SolveRequestSchema, { ref: "r", session: "s", ...fields }));
    return await explanationOf(SOLVE, "--body", await fileWith(bytes));
  }

  test("is allowed", async () => expect(await solve({ frontend: "dockerfile.v0" })).toContain("allowed by grpc.solve"));

  test.each([
    [{ frontend: "gateway.v0" }, "frontend.refused"],
    [{ entitlements: ["security.insecure"] }, "entitlement.refused"],
    [{ definition: { def: [Buffer.from("x")] } }, "llb.raw"],
  ])("%j is refused by %s", async (fields, rule) => expect(await solve(fields)).toContain(`refused by ${rule}`));

  test("of another method is refused, and so is an invalid one", async () => {
    expect(await explanationOf("/moby.buildkit.v1.frontend.LLBBridge/NewContainer")).toContain(
      "refused by grpc.method",
    );
    expect(await explanationOf(SOLVE, "--body", await fileWith("\u0001no message"))).toContain(
      "refused by grpc.message",
    );
  });

  test("with an unknown field is refused", async () => {
    const unknown = Buffer.from([0xfa, 0x3f, 0x01, 0x78]); // field 1023
    expect(await explanationOf(SOLVE, "--body", await fileWith(unknown))).toContain("refused by grpc.unknown-field");
  });
});
