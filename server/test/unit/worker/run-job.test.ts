import { gzipSync } from "node:zlib";
import { writeFileSync } from "node:fs";
import { Failure } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import { fileEntry, tar } from "../../../../test/testbed/tar.ts";
import { StoreUnavailable } from "../../../src/store/job-store.ts";
import { NAME, RunBed } from "../../fixtures/run-bed.ts";

const SUCCEEDED = { state: "succeeded" };

test("builds, pushes and purges a Dockerfile's text; reports states, phases and facts", async () => {
  using bed = new RunBed();
  expect(await bed.run({ dockerfile: "FROM scratch\nCOPY . /\n" })).toEqual(SUCCEEDED);
  expect(bed.engine.files).toEqual({ Dockerfile: "FROM scratch\nCOPY . /\n" });
  expect(bed.engine.orders).toMatchObject([{ names: [NAME], dockerfile: "Dockerfile", isArchive: true, secrets: [] }]);
  expect(bed.engine.pushed).toEqual([NAME]);
  expect(bed.engine.images.size).toBe(0);
  expect(bed.updates.map(({ state }) => state).filter((state) => state !== undefined)).toEqual(["pushing"]);
  const number = expect.any(Number) as number;
  expect(bed.reported).toMatchObject({
    imageId: `sha256:${"1".padStart(64, "0")}`,
    digest: `sha256:${"d".repeat(64)}`,
    size: 1_000_000,
    contextBytes: 22,
    phases: { queue: 5, build: number, push: number, purge: number },
  });
  expect(bed.lines).toEqual([
    `Building ${NAME}`,
    expect.stringMatching(/^Built sha256:/) as string,
    `Pushing ${NAME}`,
    `Pushed ${NAME}, digest sha256:${"d".repeat(64)}`,
    `Removed ${NAME} from the engine`,
  ]);
});

test("keeps an image without push and purge in the engine, and replaces the image that had the name", async () => {
  using bed = new RunBed();
  bed.engine.addImage(NAME);
  expect(await bed.run({ order: { push: false, purge: false } })).toEqual(SUCCEEDED);
  expect(bed.engine.pushed).toEqual([]);
  expect([...bed.engine.images.values()]).toEqual([new Set([NAME])]);
});

test("unpacks an archive without its first folders, and passes options and limits to the build", async () => {
  using bed = new RunBed();
  const archive = [gzipSync(Buffer.concat([...tar([fileEntry("top/sub/My.Dockerfile", "FROM scratch\n")])]))];
  const limits = { memory: 64_000_000, cpus: 0.5, network: "none" };
  const order = { strip: 1, file: "sub/My.Dockerfile", target: "t", platform: "linux/arm64", pull: true, limits };
  expect(await bed.run({ archive, order })).toEqual(SUCCEEDED);
  expect(bed.engine.files).toMatchObject({ "sub/My.Dockerfile": "FROM scratch\n" });
  const platform = { os: "linux", architecture: "arm64" };
  expect(bed.engine.orders).toMatchObject([
    { dockerfile: "sub/My.Dockerfile", target: "t", platform, pull: true, ...limits },
  ]);
  expect(bed.reported.phases).toHaveProperty("context");
  expect(bed.lines).toContain(`Building ${NAME} (memory 64 MB, cpus 0.5, network none)`);
  expect(bed.leftFiles).toEqual([]);
});

test.each<[string, Iterable<Uint8Array>, string, RegExp]>([
  ["in a folder", tar([fileEntry("app/Dockerfile", "FROM scratch\n")]), "not-buildable", /`strip` 1/],
  ["nowhere", tar([fileEntry("a", "1"), fileEntry("b/Dockerfile", "2")]), "not-buildable", /at the top/],
])("rejects a Dockerfile %s", async (_, archive, code, hint) => {
  using bed = new RunBed();
  const expected = expect.any(String) as string;
  const outcome = await bed.run({ archive });
  const reason = { code, expected, hint: expect.stringMatching(hint) as string };
  expect(outcome).toMatchObject({ state: "failed", reason });
  expect(bed.log).toMatch(/^error: there is no file Dockerfile in the archive.*\nexpected: .*\nhint: /m);
  expect(bed.log).not.toContain("--strip");
  expect(bed.engine.orders).toEqual([]);
  expect(bed.leftFiles).toEqual([]);
});

test("proposes to strip a folder only if all files are in one, whatever the Dockerfile's name is", async () => {
  using bed = new RunBed();
  const archive = tar([fileEntry("a", "1"), fileEntry("b/Dockerfile", "2")]);
  const outcome = await bed.run({ archive, order: { file: "only the folder" } });
  const hint = expect.stringMatching(/at the top/) as string;
  expect(outcome).toMatchObject({ state: "failed", reason: { code: "not-buildable", hint } });
});

test.each<[string, Iterable<Uint8Array>, RegExp]>([
  ["a bomb", [gzipSync(Buffer.concat([...tar([fileEntry("Dockerfile", Buffer.alloc(8_000_000))])]))], /1 ?MB|1,?000/],
  ["a link out of the tree", tar([{ path: "x", type: "link", target: "/etc/passwd" }]), /x/],
  ["a duplicate file", tar([fileEntry("Dockerfile", "1"), fileEntry("Dockerfile", "2")]), /Dockerfile/],
  ["a body that is not an archive", [Buffer.from("this is no archive")], /^the body is not an archive$/],
])("rejects %s, and leaves nothing of it", async (_, archive, message) => {
  using bed = new RunBed();
  const outcome = await bed.run({ archive });
  const reason = { code: "context-invalid", message: expect.stringMatching(message) as string };
  expect(outcome).toMatchObject({ state: "failed", reason });
  expect(bed.log).not.toMatch(/stdin|ssh HOST|machine that builds/);
  expect(bed.engine.orders).toEqual([]);
  expect(bed.leftFiles).toEqual([]);
});

test("names the server's option for an archive that unpacks to too many bytes", async () => {
  using bed = new RunBed();
  const archive = [gzipSync(Buffer.concat([...tar([fileEntry("Dockerfile", Buffer.alloc(8_000_000))])]))];
  const hint = "Exclude files that the build does not need, or ask the server's operator for a larger --max-size.";
  expect(await bed.run({ archive })).toMatchObject({ state: "failed", reason: { code: "context-invalid", hint } });
});

test("fetches an address into a temporary file", async () => {
  using bed = new RunBed();
  const requests: unknown[] = [];
  bed.fetchArchive = async (url, path, limits, { onLine }) => {
    requests.push(url, limits.maxBytes);
    onLine("Fetching it");
    writeFileSync(path, Buffer.concat([...tar([fileEntry("Dockerfile", "FROM scratch\n")])]));
  };
  const url = "https://files.example.com/a.tar?signature=abcdef";
  expect(await bed.run({ url })).toEqual(SUCCEEDED);
  expect(requests).toEqual([url, 1_000_000]);
  expect(bed.lines.slice(0, 2)).toEqual(["Fetching it", "The archive has 1 entry, 13 B"]);
  expect(bed.log).not.toContain("signature");
  expect(bed.reported.phases).toHaveProperty("fetch");
  expect(bed.leftFiles).toEqual([]);
});

test("reports why a fetch fails", async () => {
  using bed = new RunBed();
  bed.fetchArchive = async () => await Promise.reject(new Failure("refused", "the address is private", { hint: "no" }));
  const reason = { code: "refused", message: "the address is private", hint: "no" };
  expect(await bed.run({ url: "http://files.example.com/a.tar" })).toEqual({ state: "failed", reason });
  expect(bed.lines).toEqual(["error: the address is private", "hint: no"]);
});

test("logs lines of steps in docker's plain format, with colours, and repeats the last lines of a failed step", async () => {
  using bed = new RunBed();
  bed.engine.onBuild = async (_, { onEvent }) => {
    const step = { type: "step", step: "a", name: "[2/2] RUN make" } as const;
    onEvent({ ...step, started: 1_000 });
    onEvent({ type: "step-log", step: "a", stream: "stdout", text: "\u001b[31mred\u001b[0m\n", at: 1_500 });
    onEvent({ ...step, started: 1_000, completed: 2_000, error: "exit code: 2" });
    throw new Failure("build-failed", "the build failed at [2/2] RUN make: exit code 2", {
      expected: "a step that succeeds",
      hint: "Fix that step. Its last lines:\n  red",
    });
  };
  expect(await bed.run()).toMatchObject({ state: "failed", reason: { code: "build-failed" } });
  expect(bed.lines).toContain("#1 [2/2] RUN make");
  expect(bed.lines).toContain("#1 0.500 \u001b[31mred\u001b[0m");
  expect(bed.lines.slice(-3)).toEqual([
    "error: the build failed at [2/2] RUN make: exit code 2",
    "expected: a step that succeeds",
    "hint: Fix that step.",
  ]);
});

test("reports an unexplained error to the operator; the job's record has no stack", async () => {
  using bed = new RunBed();
  bed.engine.onBuild = async () => await Promise.reject(new TypeError("x is undefined"));
  const outcome = await bed.run();
  expect(outcome).toMatchObject({ state: "failed", reason: { code: "internal" } });
  expect(JSON.stringify(outcome) + bed.log).not.toContain("    at ");
  expect(bed.warnings.join()).toMatch(/^job 018f.*TypeError: x is undefined\n {4}at /);
});

test("continues the job while the store is unavailable, and reports to it later", async () => {
  using bed = new RunBed();
  bed.storeFailure = new StoreUnavailable("gone");
  bed.engine.onPublish = async () => {
    bed.storeFailure = undefined;
  };
  expect(await bed.run()).toEqual(SUCCEEDED);
  expect(bed.reported).toMatchObject({ contextBytes: 13, imageId: expect.stringMatching(/^sha256:/) as string });
});
