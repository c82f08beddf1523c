import { expect, it, vi } from "vitest";
import { frontBed } from "../../../fixtures/guard/front-bed.ts";
import {
  END_HEADERS,
  END_STREAM,
  flood,
  FRAME,
  frame,
  getHeaders,
  opening,
} from "../../../fixtures/guard/http2-client.ts";
import { standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";
import { rawConnection, statusOf } from "../../../fixtures/raw-request.ts";

const request = (stream: number): Buffer =>
  frame(FRAME.headers, { stream, flags: END_STREAM | END_HEADERS, payload: getHeaders("/images/json") });
const reset = (code: number) => (index: number) => {
  const stream = 2 * index + 1;
  return Buffer.concat([request(stream), frame(FRAME.reset, { stream, payload: Buffer.from([0, 0, 0, code]) })]);
};
const unfinished = frame(FRAME.headers, { stream: 1, flags: END_STREAM, payload: getHeaders("/_ping") });
const CANCEL = 8;

/**
 * Yields `part` of 0, 1, 2 …, with `each` parts in one chunk, fewer than nghttp2 counts as a flood of unread answers
 */
function* pieces(part: (index: number) => Buffer, most: number, each = 100): Generator<Buffer> {
  for (let index = 0; index < most; index += each) {
    yield Buffer.concat(Array.from({ length: each }, (_, offset) => part(index + offset)));
  }
}

it.each([
  ["resets (CVE-2023-44487)", pieces(reset(CANCEL), 300, 300)],
  ["resets with the code 0", pieces(reset(0), 300, 300)],
  [
    "windows that make the guard reset a stream (CVE-2025-8671)",
    pieces(
      (index) => {
        const stream = 2 * index + 1;
        return Buffer.concat([request(stream), frame(FRAME.window, { stream, payload: Buffer.alloc(4) })]);
      },
      300,
      300,
    ),
  ],
  ["answered SETTINGS", pieces(() => frame(FRAME.settings, { payload: Buffer.from([0, 4, 0, 0, 255, 255]) }), 200)],
  ["answered PINGs", pieces(() => frame(FRAME.ping, { payload: Buffer.alloc(8) }), 120_000, 500)],
  ["PINGs whose answers are not awaited", pieces(() => frame(FRAME.ping, { payload: Buffer.alloc(8) }), 4000, 4000)],
  [
    "CONTINUATION without an end (CVE-2024-27983)",
    pieces((index) => (index === 0 ? unfinished : frame(FRAME.continuation, { stream: 1 })), 300, 300),
  ],
])("closes the connection of an HTTP/2 flood of %s, and answers another tenant in the meantime", async (_, parts) => {
  await using loud = await frontBed();
  await using calm = await frontBed({ tenant: standInTenant({ id: "calm" }) });
  using connection = await rawConnection(loud.port);
  connection.socket.write(opening());
  const flooding = flood(connection.socket, parts);
  expect(statusOf(await calm.send("GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n", "OK"))).toBe(200);
  await flooding;
  expect(loud.problems).toEqual([]);
});

it.each([
  ["resets", pieces(reset(CANCEL), 300, 300)],
  ["SETTINGS", pieces(() => frame(FRAME.settings, { payload: Buffer.from([0, 4, 0, 0, 255, 255]) }), 200)],
])("writes an audit line for a connection that a flood of %s has ended", async (what, parts) => {
  await using bed = await frontBed();
  using connection = await rawConnection(bed.port);
  connection.socket.write(opening());
  await flood(connection.socket, parts);
  await vi.waitFor(() =>
    expect(bed.entries.filter(({ rule }) => rule === "connection.flood")).toMatchObject([
      { tenant: "a", call: "connection", decision: "refused", reason: expect.stringContaining(what) as string },
    ]),
  );
});

it("leaves no calls behind for requests that are reset at once", async () => {
  await using bed = await frontBed();
  using connection = await rawConnection(bed.port);
  connection.socket.write(
    Buffer.concat([opening(), ...Array.from({ length: 20 }, (_, index) => reset(CANCEL)(index))]),
  );
  await vi.waitFor(() => expect(bed.entries).toHaveLength(20));
  expect(new Set(bed.entries.map(({ status, decision }) => `${status} ${decision}`))).toEqual(new Set(["499 allowed"]));
});
