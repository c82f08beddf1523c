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

describe.for(["direct", "switched"] as const)("a gRPC call of a connection that is %s", (kind) => {
  test.for(["[", "guard:99999"])("to the host %s is refused, and the guard goes on", async (authority) => {
    await using bed = await grpcBed();
    using session = await http2Of(bed.port, kind);
    expect(await callWith(session, INFO, EMPTY, { ":authority": authority })).toMatchObject({ code: 3 });
    expect(await callWith(session, INFO, EMPTY)).toEqual({ code: 14, sentence: "the engine has no BuildKit" });
    expect(bed.problems).toEqual([]);
  });

  test("is one of the requests that a tenant may make", async () => {
    const refusal = new Refusal("quota.requests", "too many", { statusCode: 429 });
    let left = kind === "switched" ? 2 : 1;
    const throttle = { take: () => (left-- > 0 ? Promise.resolve() : Promise.reject(refusal)) };
    await using bed = await grpcBed({ throttle });
    using session = await http2Of(bed.port, kind);
    expect(await callWith(session, INFO, EMPTY)).toMatchObject({ code: 14 });
    expect(await callWith(session, INFO, EMPTY)).toEqual({ code: 8, sentence: "too many" });
  });

  test("is one of the calls that a tenant may have open", async () => {
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

  test("is told that its tenant has gone", async () => {
    await using bed = await grpcBed();
    using session = await http2Of(bed.port, kind);
    const waiting = callWith(session, STATUS, messageOf(StatusRequestSchema, { ref: "nobodys" }));
    await callWith(session, INFO, EMPTY); // the first has come
    await bed.front.close();
    expect((await waiting).sentence).toBe("this tenant is no longer served");
  });

  test("that is cancelled leaves the others of its connection alone", async () => {
    await using bed = await grpcBed();
    using session = await http2Of(bed.port, kind);
    const first = session.request({ ":method": "POST", ":path": STATUS, "content-type": "application/grpc" });
    const closed = new Promise((resolve) => void first.on("error", () => {}).once("close", resolve));
    first.resume().end(messageOf(StatusRequestSchema, { ref: "nobodys" }));
    await callWith(session, INFO, EMPTY);
    first.close(constants.NGHTTP2_CANCEL);
    await closed;
    // The guard has seen it as well: both calls have their lines.
    await expect.poll(() => bed.entries.length).toBe(2);
    expect(await callWith(session, INFO, EMPTY)).toEqual({ code: 14, sentence: "the engine has no BuildKit" });
  });

  test("is checked by the policy of now", async () => {
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

test("bytes of messages are counted, once", async () => {
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

test.for<[what: string, body: Buffer, headers: Record<string, string>]>([
  ["that is no message", framed(Buffer.from([0xff])), {}],
  ["of several messages", Buffer.concat([EMPTY, EMPTY]), {}],
  ["that is too large", Buffer.concat([Buffer.from([0, 0x7f, 0, 0, 0])]), {}],
  ["that is compressed", framed(gzipSync(SOLVE_ONE), 1), { "grpc-encoding": "gzip" }],
  ["nested too deeply", framed(nested(200)), {}],
  // 4 MB of exporters without a byte
  ["of millions of fields", framed(Buffer.alloc(4_000_000, Buffer.from([(13 << 3) | 2, 0]))), {}],
  [
    "of millions of fields inside of one",
    framed(inField(8, Buffer.alloc(3_000_000, Buffer.from([(4 << 3) | 2, 0])))),
    {},
  ],
])("a call %s is refused, and written down", async ([, body, headers]) => {
  await using bed = await grpcBed();
  using session = await http2Of(bed.port, "direct");
  const { code } = await callWith(session, SOLVE, body, headers);
  expect(code).toBeGreaterThan(0);
  await expect.poll(() => bed.entries).toMatchObject([{ call: SOLVE, decision: "refused", rule: "grpc.message" }]);
});

test("a call that may take centuries prints no warning", async () => {
  await using bed = await grpcBed();
  using session = await http2Of(bed.port, "direct");
  expect(await callWith(session, INFO, EMPTY, { "grpc-timeout": "99999999H" })).toMatchObject({ code: 14 });
});

const LARGE = 3_900_000;

test.each([
  ["that are not complete", Buffer.concat([Buffer.from([0, 0, 0x3d, 9, 0]), Buffer.alloc(LARGE)])],
  [
    "whose calls are not ended",
    framed(messageOf(SolveRequestSchema, { frontendAttrs: { "build-arg:A": "x".repeat(LARGE) } })),
  ],
])("messages %s may have so many bytes, of all calls of a tenant", async (_, begun) => {
  await using bed = await grpcBed();
  const sessions = [];
  // One connection of HTTP/2 may hold 10 MB.
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
  // All is given back.
  using session = await http2Of(bed.port, "direct");
  const whole = messageOf(SolveRequestSchema, { ref: "1", frontendAttrs: { "build-arg:A": "x".repeat(3_000_000) } });
  expect((await callWith(session, SOLVE, whole)).sentence).toContain("is longer than");
});

test("a refusal that cuts a character in half, or is long, is an answer", async () => {
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

/** A solve request with a definition that has a source of a definition, and so on. */
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
