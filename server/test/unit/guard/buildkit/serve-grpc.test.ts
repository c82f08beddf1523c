import { once } from "node:events";
import { constants } from "node:http2";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { SolveRequestSchema, StatusRequestSchema } from "../../../../src/guard/buildkit/gen/control_pb.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";
import { callWith, framed, grpcBed, http2Of, INFO, messageOf, SOLVE } from "../../../fixtures/guard/grpc-bed.ts";
import { standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";

const STATUS = "/moby.buildkit.v1.Control/Status";
const EMPTY = framed(new Uint8Array());
const SOLVE_ONE = toBinary(SolveRequestSchema, create(SolveRequestSchema, { ref: "1", entitlements: ["x"] }));

describe.for(["direct", "switched"] as const)("a gRPC call on a %s connection", (kind) => {
  test.for(["[", "guard:99999"])("to the host %s is refused, and the guard continues to work", async (authority) => {
    await using bed = await grpcBed();
    using session = await http2Of(bed.port, kind);
    expect(await callWith(session, INFO, EMPTY, { ":authority": authority })).toMatchObject({ code: 3 });
    expect(await callWith(session, INFO, EMPTY)).toEqual({ code: 14, sentence: "the engine has no BuildKit" });
    expect(bed.problems).toEqual([]);
  });

  test("counts as a request of the tenant", async () => {
    const refusal = new Refusal("quota.requests", "too many", { statusCode: 429 });
    let left = kind === "switched" ? 2 : 1;
    const throttle = { take: () => (left-- > 0 ? Promise.resolve() : Promise.reject(refusal)) };
    await using bed = await grpcBed({ throttle });
    using session = await http2Of(bed.port, kind);
    expect(await callWith(session, INFO, EMPTY)).toMatchObject({ code: 14 });
    expect(await callWith(session, INFO, EMPTY)).toEqual({ code: 8, sentence: "too many" });
  });

  test("counts as an open call of the tenant", async () => {
    const tenant = standInTenant({ quotas: { context: 1, connections: 2, requests: 1000 } });
    await using bed = await grpcBed({ tenant });
    using session = await http2Of(bed.port, kind);
    const waiting = Array.from({ length: kind === "switched" ? 1 : 2 }, () =>
      callWith(session, STATUS, messageOf(StatusRequestSchema, { ref: "nobodys" })),
    );
    expect(await callWith(session, INFO, EMPTY)).toMatchObject({ code: 8 });
    session.destroy();
    await Promise.all(waiting);
  });

  test("ends with the reason when its tenant is removed", async () => {
    await using bed = await grpcBed();
    using session = await http2Of(bed.port, kind);
    const waiting = callWith(session, STATUS, messageOf(StatusRequestSchema, { ref: "nobodys" }));
    await callWith(session, INFO, EMPTY); // the first call has arrived
    await bed.front.close();
    expect((await waiting).sentence).toBe("this tenant is no longer served");
  });

  test("that is cancelled does not affect the other calls of its connection", async () => {
    await using bed = await grpcBed();
    using session = await http2Of(bed.port, kind);
    const first = session.request({ ":method": "POST", ":path": STATUS, "content-type": "application/grpc" });
    const closed = new Promise((resolve) => void first.on("error", () => {}).once("close", resolve));
    first.resume().end(messageOf(StatusRequestSchema, { ref: "nobodys" }));
    await callWith(session, INFO, EMPTY);
    first.close(constants.NGHTTP2_CANCEL);
    await closed;
    // The guard has noticed the end, because both calls have lines.
    await expect.poll(() => bed.entries.length).toBe(2);
    expect(await callWith(session, INFO, EMPTY)).toEqual({ code: 14, sentence: "the engine has no BuildKit" });
  });

  test("is checked against the current policy", async () => {
    let tenant = standInTenant();
    await using bed = await grpcBed({ tenant: () => tenant });
    using session = await http2Of(bed.port, kind);
    const remote = (ref: string): Buffer =>
      messageOf(SolveRequestSchema, { ref, frontendAttrs: { context: "https://example.com/a" } });
    expect((await callWith(session, SOLVE, remote("1"))).sentence).toContain("not an address that a build may fetch");
    tenant = standInTenant({ policy: { ...tenant.policy, sources: ["https://example.com/"] } });
    expect((await callWith(session, SOLVE, remote("2"))).sentence).toBe("the engine has no BuildKit");
  });
});

test("counts the bytes of messages once", async () => {
  await using bed = await grpcBed();
  const message = messageOf(SolveRequestSchema, { ref: "ref1", entitlements: ["x"] });
  using session = await http2Of(bed.port, "switched");
  await callWith(session, SOLVE, message);
  session.destroy();
  await expect.poll(() => bed.entries.length).toBe(2);
  expect(bed.entries).toMatchObject([
    { rule: "entitlement.refused", received: message.length, sent: 0 },
    { rule: "buildkit.grpc", received: 0, sent: 0 },
  ]);
});

test.for<[description: string, body: Buffer, headers: Record<string, string>]>([
  ["without a valid message", framed(Buffer.from([0xff])), {}],
  ["with several messages", Buffer.concat([EMPTY, EMPTY]), {}],
  ["that is too large", Buffer.concat([Buffer.from([0, 0x7f, 0, 0, 0])]), {}],
  ["that is compressed", framed(gzipSync(SOLVE_ONE), 1), { "grpc-encoding": "gzip" }],
  ["nested too deeply", framed(nested(200)), {}],
  // 4 MB of exporters without a byte
  ["with millions of fields", framed(Buffer.alloc(4_000_000, Buffer.from([(13 << 3) | 2, 0]))), {}],
  [
    "with millions of fields inside of one",
    framed(inField(8, Buffer.alloc(3_000_000, Buffer.from([(4 << 3) | 2, 0])))),
    {},
  ],
])("refuses a call %s, and writes an audit line", async ([, body, headers]) => {
  await using bed = await grpcBed();
  using session = await http2Of(bed.port, "direct");
  const { code } = await callWith(session, SOLVE, body, headers);
  expect(code).toBeGreaterThan(0);
  await expect.poll(() => bed.entries).toMatchObject([{ call: SOLVE, decision: "refused", rule: "grpc.message" }]);
});

test("prints no warning for a call with a timeout of centuries", async () => {
  await using bed = await grpcBed();
  using session = await http2Of(bed.port, "direct");
  expect(await callWith(session, INFO, EMPTY, { "grpc-timeout": "99999999H" })).toMatchObject({ code: 14 });
});

const LARGE = 3_900_000;

test.each([
  ["incomplete messages", Buffer.concat([Buffer.from([0, 0, 0x3d, 9, 0]), Buffer.alloc(LARGE)])],
  [
    "messages of open calls",
    framed(messageOf(SolveRequestSchema, { frontendAttrs: { "build-arg:A": "x".repeat(LARGE) } })),
  ],
])("limits the bytes of %s of all calls of a tenant", async (_, begun) => {
  await using bed = await grpcBed();
  const sessions = [];
  // An HTTP/2 connection may buffer 10 MB.
  for (let count = 0; count < 9; count++) sessions.push(await http2Of(bed.port, "direct"));
  const headers = { ":method": "POST", ":path": SOLVE, "content-type": "application/grpc" };
  const open = sessions.map((session) => session.request(headers).on("error", () => {}));
  const refused = Promise.race(open.map((stream) => once(stream, "response")));
  for (const stream of open) stream.write(begun);
  await refused;
  for (const session of sessions) session.destroy();
  await expect.poll(() => bed.entries.length).toBe(9);
  expect(bed.entries).toContainEqual(
    expect.objectContaining({ reason: expect.stringContaining("messages of all calls") as string }),
  );
  // The memory is available again.
  using session = await http2Of(bed.port, "direct");
  const whole = messageOf(SolveRequestSchema, { ref: "1", frontendAttrs: { "build-arg:A": "x".repeat(3_000_000) } });
  expect((await callWith(session, SOLVE, whole)).sentence).toContain("is longer than");
});

test("answers with a refusal that is long or cuts a character in half", async () => {
  await using bed = await grpcBed();
  using session = await http2Of(bed.port, "direct");
  const half = messageOf(SolveRequestSchema, { ref: `${"a".repeat(79)}😀` });
  expect(await callWith(session, SOLVE, half)).toEqual({
    code: 3,
    sentence: `"${"a".repeat(79)}\ufffd" is not the ID of a build`,
  });
  const long = messageOf(SolveRequestSchema, { ref: "1", frontendAttrs: { platform: "€".repeat(200_000) } });
  const { code, sentence } = await callWith(session, SOLVE, long);
  expect(code).toBe(3);
  expect(sentence).toHaveLength(8193);
});

/** Returns a solve request with a definition that has a source with a definition, and so on. */
function nested(depth: number): Buffer {
  let inner: Buffer = Buffer.alloc(0);
  // Definition.Source = 3, Source.infos = 2, SourceInfo.definition = 3; SolveRequest.definition = 2
  for (let level = 0; level < depth; level++) {
    for (const field of [3, 2, 3]) inner = inField(field, inner);
  }
  return inField(2, inner);
}

function inField(field: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2]), varint(value.length), value]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Buffer.from(bytes);
}
