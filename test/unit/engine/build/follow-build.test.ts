import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { followBuild } from "../../../../src/engine/build/follow-build.ts";
import { StatusResponseSchema } from "../../../../src/engine/buildkit/gen/control_pb.ts";
import type { BuildEvent } from "../../../../src/engine/engine-builder.ts";
import type { Failure } from "../../../../src/output/errors.ts";
import { rejection } from "../fake-engine.ts";

type Status = Parameters<typeof create<typeof StatusResponseSchema>>[1];

const trace = (status: Status): object => ({
  id: "moby.buildkit.trace",
  aux: Buffer.from(toBinary(StatusResponseSchema, create(StatusResponseSchema, status))).toString("base64"),
});

async function* lines(...all: (object | string)[]): AsyncGenerator<Buffer> {
  for (const line of all) yield Buffer.from(`${typeof line === "string" ? line : JSON.stringify(line)}\r\n`);
}

async function follow(...all: (object | string)[]): Promise<{ id: string; events: BuildEvent[] }> {
  const events: BuildEvent[] = [];
  return { id: await followBuild(lines(...all), "Dockerfile", (event) => events.push(event)), events };
}

const failureOf = async (...all: (object | string)[]): Promise<Failure> => (await rejection(follow(...all))) as Failure;

test("converts BuildKit's messages to events, and joins a character that is split in two", async () => {
  const [before, after] = [Buffer.from("ä").subarray(0, 1), Buffer.from("ä").subarray(1)];
  const log = { vertex: "sha256:1", stream: 2n, timestamp: timestampFromMs(5000) };
  const { id, events } = await follow(
    trace({ vertexes: [{ digest: "sha256:1", name: "[2/2] RUN make", started: timestampFromMs(4000) }] }),
    trace({ statuses: [{ ID: "layer", vertex: "sha256:1", current: 5n, total: 10n }] }),
    trace({ logs: [{ ...log, msg: before }] }),
    trace({ logs: [{ ...log, msg: after }] }),
    trace({ warnings: [{ short: Buffer.from("old"), detail: [Buffer.from("line 1")], url: "https://example.com" }] }),
    { id: "moby.image.id", aux: { ID: "sha256:abc" } },
  );
  expect(id).toBe("sha256:abc");
  expect(events).toEqual([
    { type: "step", step: "sha256:1", name: "[2/2] RUN make", started: 4000 },
    { type: "step-progress", step: "sha256:1", id: "layer", current: 5, total: 10 },
    { type: "step-log", step: "sha256:1", stream: "stderr", text: "", at: 5000 },
    { type: "step-log", step: "sha256:1", stream: "stderr", text: "ä", at: 5000 },
    { type: "build-warning", text: "old", details: ["line 1"], url: "https://example.com" },
  ]);
});

test.each([
  [
    "the classic builder",
    [{ aux: { ID: "sha256:abcdef012345678" } }, { stream: "Successfully built abcdef012345\n" }],
    "sha256:abcdef012345678",
  ],
  ["a builder that prints it", [{ stream: "Successfully built abcdef012345\n" }], "abcdef012345"],
])("reads the image ID from %s", async (_, all, id) => {
  expect((await follow(...all)).id).toBe(id);
});

test("names the step that failed, not the steps that were stopped because of it", async () => {
  const failure = await failureOf(
    trace({
      vertexes: [
        { digest: "1", name: "[a 1/2] RUN one" },
        { digest: "2", name: "[b 2/2] RUN two" },
      ],
    }),
    trace({ logs: [{ vertex: "2", stream: 1n, msg: Buffer.from("a\nb\r\n\u001b[31mc\u001b[0m\n") }] }),
    trace({ logs: [{ vertex: "1", stream: 1n, msg: Buffer.from("other\n") }] }),
    trace({ vertexes: [{ digest: "2", name: "[b 2/2] RUN two", error: "process did not complete: exit code: 7" }] }),
    trace({ vertexes: [{ digest: "1", name: "[a 1/2] RUN one", error: "context canceled" }] }),
    { errorDetail: { message: "failed to solve: process did not complete: exit code: 7" }, error: "short" },
  );
  expect(failure.code).toBe("build-failed");
  expect(failure.message).toBe("the build failed at [b 2/2] RUN two: exit code 7");
  expect(failure.hint).toBe("Fix that step. Its last lines:\n  a\n  b\n  c");
});

test("shows ten lines, however much the step has printed", async () => {
  const text = Array.from({ length: 50_000 }, (_, n) => `line ${n}\n`).join("");
  const failure = await failureOf(
    { stream: "Step 1/1 : RUN make\n" },
    { stream: text },
    { errorDetail: { message: "The command '/bin/sh -c make' returned a non-zero code: 2" } },
  );
  expect(failure.message).toBe("the build failed at [1/1] RUN make: exit code 2");
  expect(failure.hint?.split("\n").slice(1)).toEqual(Array.from({ length: 10 }, (_, n) => `  line ${49_990 + n}`));
});

test.each([
  ["no-space", "failed to solve: write /x: no space left on device", "the engine's disk is full"],
  [
    "not-buildable",
    "failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory",
    "the context has no Dockerfile at Dockerfile",
  ],
  ["build-failed", "dockerfile parse error on line 2: unknown instruction: FOO", "unknown instruction: FOO"],
])("an error of the kind %s", async (code, error, message) => {
  const failure = await failureOf({ error });
  expect(failure.code).toBe(code);
  expect(failure.message).toContain(message);
});

test("for a base that the registry refuses, names the registry and how to log in", async () => {
  const name = "[internal] load metadata for registry.example.com:5000/team/base:v1";
  const failure = await failureOf(trace({ vertexes: [{ digest: "1", name, error: "401 Unauthorized" }] }), {
    error: "failed to solve: failed to resolve source metadata: 401 Unauthorized",
  });
  expect(failure.message).toMatch(
    /^the base registry\.example\.com:5000\/team\/base:v1 cannot be pulled from registry\.example\.com:5000: /,
  );
  expect(failure.hint).toContain("docker login registry.example.com:5000");
});

test.each([
  [
    "a trace that is not a message",
    { id: "moby.buildkit.trace", aux: Buffer.from([0x0a, 0xff, 0xff]).toString("base64") },
    "an invalid message of BuildKit",
  ],
  ["a line that is not JSON", "<html>", "not JSON"],
  ["an endless line", `"${"x".repeat(9_000_000)}"`, "more than 8388608 characters"],
  ["an answer without an image", {}, "names no image"],
])("%s causes an error", async (_, line, message) => {
  expect((await rejection(follow(line))).message).toContain(message);
});

test.each([
  [[]],
  [42],
  [null],
  [{ aux: [] }],
  [{ errorDetail: null, stream: 5, id: {} }],
  [{ id: "moby.image.id", aux: "x" }],
])("ignores a line of another form: %j", async (line) => {
  expect((await follow(JSON.stringify(line), { aux: { ID: "sha256:1" } })).id).toBe("sha256:1");
});
