/** --json: the events for programs on stdout, and the messages for people on stderr. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { TransferEvent } from "../../../src/output/events.ts";
import { makeImage } from "../image/make-image.ts";
import { isInSchema } from "../output/event-schema.ts";
import { folder, program, start } from "./cli.ts";
import { layoutOf, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 700_000]);
await writeTree(at("source"), layoutOf([{ image, ref: "v1" }]));
const source = `oci:${at("source")}:v1`;
/** The first words of a command that writes a line to stderr, and then runs the words after these. */
const say = ["sh", "-c", 'echo "hello there" >&2; exec "$@"', "sh"];

/** Runs `docker-over-ssh …`, and returns its events. Expects each to match the schema. */
async function events(...words: string[]) {
  const { exitCode, stdout, stderr } = await start(...words);
  const all = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as TransferEvent);
  expect(all.filter((event) => !isInSchema(event))).toEqual([]);
  return { exitCode, events: all, stderr };
}

const types = (all: readonly TransferEvent[]): string[] => [...new Set(all.map(({ type }) => type))];

describe("events on stdout", () => {
  test("of a push contain the plan, the progress and the result; stderr is empty", async () => {
    const pushed = await events(
      "push",
      "--json",
      source,
      ...say,
      ...program,
      "pull",
      "--to",
      `oci:${at("pushed")}`,
      "app:v1",
    );
    expect(pushed).toMatchObject({ exitCode: 0, stderr: "" });
    expect(types(pushed.events)).toEqual(["started", "remote", "plan", "progress", "result"]);
    const transfer = { image: source };
    expect(pushed.events[0]).toEqual({ type: "started", role: "sender", image: source, transfer });
    expect(pushed.events).toContainEqual({ type: "remote", line: "hello there", transfer });
    const { manifests } = JSON.parse(await readFile(at("pushed/index.json"), "utf8")) as {
      manifests: { digest: string }[];
    };
    const [manifest] = manifests;
    expect(pushed.events.at(-1)).toMatchObject({
      type: "result",
      id: expect.stringMatching(/^sha256:/) as string,
      manifestDigest: manifest?.digest,
      layersSent: 2,
      layersPresent: 0,
      bytesSent: expect.any(Number) as number,
      ms: expect.any(Number) as number,
      transfer,
    });
  });

  test("of a pull include details with --verbose, and no progress with --quiet", async () => {
    const words = ["app:v1", ...program, "push", source];
    const verbose = await events("pull", "--json", "--verbose", "--to", `oci:${at("pulled")}`, ...words);
    expect(verbose).toMatchObject({ exitCode: 0, stderr: "" });
    expect(types(verbose.events)).toEqual(expect.arrayContaining(["started", "detail", "plan", "progress", "result"]));
    const quiet = await events("pull", "--json", "--quiet", "--to", `oci:${at("quiet")}`, ...words);
    expect(quiet).toMatchObject({ exitCode: 0, stderr: "" });
    expect(types(quiet.events)).toEqual(["started", "plan", "result"]);
  });

  test("end with the error, in three parts with code and exit status; stderr has it as text", async () => {
    const failed = await events("push", "--json", `oci:${at("nowhere")}`, ...program, "pull", "app:v1");
    expect(failed.exitCode).toBe(3);
    expect(failed.events.at(-1)).toEqual({
      type: "error",
      code: "image-not-found",
      exitStatus: 3,
      side: "here",
      message: expect.stringContaining("nowhere") as string,
      expected: expect.any(String) as string,
      hint: expect.any(String) as string,
      transfer: { image: `oci:${at("nowhere")}` },
    });
    expect(failed.stderr).toMatch(/^docker-over-ssh: .*nowhere.*\n {2}expected: .*\n {2}to do: /);
  });

  test("report that the remote side has failed", async () => {
    const far = [...program, "pull", "--max-size", "10", "--to", `oci:${at("refused")}`, "app:v1"];
    const failed = await events("push", "--json", source, ...far);
    expect(failed.exitCode).toBe(13);
    expect(failed.events.at(-1)).toMatchObject({ type: "error", code: "refused", exitStatus: 13, side: "remote" });
  });
});

describe("rejects --json where stdout is in use", () => {
  test("on the spawned side", async () => {
    const { exitCode, stdout, stderr } = await start("push", "--json", source);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain("--json cannot print events, because stdout is the tunnel");
  });

  test("for an archive", async () => {
    const { exitCode, stdout, stderr } = await start(
      "pull",
      "--json",
      "--to",
      "oci-archive:-",
      "app:v1",
      ...program,
      "push",
      source,
    );
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain("--json and --to oci-archive:- both write to stdout");
  });
});
