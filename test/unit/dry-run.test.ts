import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { DRY_RUN, PLANS } from "../../src/conversation/features.ts";
import { parsePlan } from "../../src/conversation/plan.ts";
import { dryRunEvent, agreeOnDryRun } from "../../src/dry-run.ts";
import { digestOf } from "../../src/image/digest.ts";
import { sizeIn } from "../../src/registry/size-answer.ts";

const peer = (...features: string[]) => ({ peer: { tool: "0.1.0", features } });
const [low = "", mid = "", top = ""] = ["low", "mid", "top"].map((name) => digestOf(Buffer.from(name)));
const plan = {
  layers: [
    { diffId: low, way: "present" },
    { diffId: mid, way: "whole", bytes: { count: 1000, isExact: true } },
    { diffId: top, way: "by-delta", bytes: { count: 500, isExact: false }, deltaBase: "app:v1" },
    { diffId: mid, way: "whole", bytes: { count: 1000, isExact: true } },
  ],
  platform: "linux/amd64",
  store: "podman",
  room: [{ disk: "engine", needed: 3000 }],
  bytesPerSecond: 3000,
};

test("applies the option of one side to both sides", () => {
  expect(agreeOnDryRun({}, peer(PLANS))).toBe(false);
  expect(agreeOnDryRun({ dryRun: true }, peer(PLANS))).toBe(true);
  expect(agreeOnDryRun({}, peer(PLANS, DRY_RUN))).toBe(true);
});

test("ends a dry run with status 2 if the peer would transfer the image", () => {
  expect(() => agreeOnDryRun({ dryRun: true }, peer("asks-again"))).toThrow(
    expect.objectContaining({
      exitStatus: 2,
      message: "the remote side is docker-over-ssh 0.1.0, which cannot make a dry run",
      hint: "Nothing was sent. Install the same version there, or send this version to the host with --far node.",
    }),
  );
});

test("counts a layer that occurs twice once in the event, which is exact only if all sizes are exact", () => {
  const event = dryRunEvent("sender", { names: ["app:v2"], plan: parsePlan(plan) }, { program: "node" });
  expect(event).toMatchObject({
    image: "docker.io/library/app:v2",
    layers: 4,
    missing: 3,
    bytes: { count: 1500, isExact: false },
    dryRun: { ms: 500, program: "node", store: "podman" },
  });
});

test("includes the bytes that would measure the link, which are an estimate", () => {
  const layers = [{ diffId: low, way: "whole", bytes: { count: 1000, isExact: true } }];
  const event = dryRunEvent(
    "sender",
    { names: ["app:v2"], plan: parsePlan({ ...plan, layers, bytesProbed: 500 }) },
    {},
  );
  expect(event).toMatchObject({ bytes: { count: 1500, isExact: false }, dryRun: { bytesProbed: 500 } });
});

test("reports no sum if the size of a layer is unknown", () => {
  const layers = [{ diffId: low, way: "whole" }];
  const event = dryRunEvent("sender", { names: ["app:v2"], plan: parsePlan({ ...plan, layers }) }, {});
  expect(event).toMatchObject({ missing: 1, dryRun: { program: "command" } });
  expect(event?.bytes).toBeUndefined();
});

test.each([
  ["a value that is not an object", 5],
  ["a layer without a digest", { ...plan, layers: [{ diffId: "low", way: "whole" }] }],
  ["an unknown way", { ...plan, layers: [{ diffId: low, way: "by magic" }] }],
  ["a negative size", { ...plan, room: [{ disk: "engine", needed: -1 }] }],
  ["too many layers", { ...plan, layers: Array.from({ length: 100_000 }, () => plan.layers[0]) }],
  ["a long name", { ...plan, layers: [{ diffId: low, way: "by-delta", deltaBase: "x".repeat(10_000) }] }],
])("ends the transfer after a plan with %s", (_, invalid) => {
  expect(() => parsePlan(invalid)).toThrow(expect.objectContaining({ code: "transfer-failed" }));
});

test.each(["", "{}", "null", '{"bytes":-1}', '{"bytes":1e300}', `{"bytes":1,"x":"${"y".repeat(1000)}"}`])(
  "rejects an answer that is not a size: %s",
  async (text) => {
    await expect(sizeIn(Readable.from([Buffer.from(text)]))).rejects.toThrow("the size of a layer");
  },
);
