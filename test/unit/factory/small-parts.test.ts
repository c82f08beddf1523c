import { PassThrough } from "node:stream";
import { expect, test, vi } from "vitest";
import { watchClient } from "../../../src/factory/watch-client.ts";
import { reportText } from "../../../src/factory/report.ts";
import { withSignsOfLife } from "../../../src/factory/signs-of-life.ts";
import type { TransferEvent } from "../../../src/output/events.ts";
import { outputTo } from "../../../src/output/output.ts";

test("the report has a line for each fact", () => {
  const built = {
    names: ["docker.io/team/app:v2", "registry.example.com/team/app:v2"],
    id: `sha256:${"1".repeat(64)}`,
    digest: `sha256:${"2".repeat(64)}`,
    size: 12_345_678,
    contextBytes: 0,
    ms: { total: 12_340, context: 1, build: 1 },
  };
  expect(reportText(built, ["team/app:v1"])).toBe(`name: docker.io/team/app:v2
name: registry.example.com/team/app:v2
image ID: sha256:${"1".repeat(64)}
digest: sha256:${"2".repeat(64)}
size: 12345678 (12.3 MB)
seconds: 12.3
removed: team/app:v1
`);
});

test("a client is gone when what it reads from is closed", async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  using client = watchClient([stdout, stderr]);
  expect(client.signal.aborted).toBe(false);
  stderr.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
  await new Promise((resolve) => client.signal.addEventListener("abort", resolve));
  expect(client.signal.reason).toMatchObject({ code: "link-lost", message: "the client has closed the connection" });
});

test("a build that prints nothing tells every 15 s that it goes on", () => {
  vi.useFakeTimers();
  try {
    const events: TransferEvent[] = [];
    using signsOfLife = withSignsOfLife(outputTo((event) => events.push(event)));
    vi.advanceTimersByTime(14_000);
    signsOfLife.output.event({ type: "build-text", text: "step" });
    vi.advanceTimersByTime(14_000);
    expect(events).toHaveLength(1);
    vi.advanceTimersByTime(1_000);
    vi.advanceTimersByTime(15_000);
    expect(events.slice(1)).toEqual([
      { type: "note", code: "build-goes-on", seconds: 29 },
      { type: "note", code: "build-goes-on", seconds: 44 },
    ]);
  } finally {
    vi.useRealTimers();
  }
});
