/** push and pull as a library, between layouts. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { pull, push, RemoteFailure, type TransferEvent } from "../../src/index.ts";
import { VERSION } from "../../src/version.ts";
import { makeImage } from "./image/make-image.ts";
import { folder, program } from "./command-line/cli.ts";
import { layoutOf, look, whole, writeTree } from "./command-line/images.ts";

const image = await makeImage([3000, 70_000]);
const at = (name: string): string => join(folder, name);
const source = `oci:${at("source")}:v1`;
/** Returns the command of the remote side. */
const remotely = (...words: string[]): string[] => [...program, ...words];
const idle = [process.execPath, "--eval", "setInterval(() => {}, 1000)"];

beforeAll(async () => await writeTree(at("source"), layoutOf([{ image, ref: "v1" }])));

describe("push", () => {
  test("returns the sent layers and bytes, and emits events from started to result", async () => {
    const events: TransferEvent[] = [];
    const remote = remotely("pull", "--to", `oci:${at("pushed")}`, "app:v1");
    const result = await push({ image: source, remote }, { onEvent: (event) => events.push(event) });
    expect(await look("oci", at("pushed"), "app:v1")).toEqual(whole(image));
    expect(result).toMatchObject({
      role: "sender",
      image: source,
      layersSent: 2,
      layersPresent: 0,
      id: expect.stringMatching(/^sha256:/) as string,
    });
    expect(result.bytesSent).toBeGreaterThan(1000);
    const transfer = { image: source };
    expect(events[0]).toEqual({ transfer, type: "started", role: "sender", image: source });
    expect(events).toContainEqual({
      transfer,
      type: "plan",
      role: "sender",
      image: "docker.io/library/app:v1",
      platform: "linux/amd64",
      layers: 2,
      missing: 2,
    });
    expect(events).toContainEqual({ transfer, type: "detail", code: "tunnel-opened", peerVersion: VERSION });
    expect(events).toContainEqual({ transfer, type: "detail", code: "all-whole", reason: "receiver-wants-whole" });
    expect(events).toContainEqual(expect.objectContaining({ type: "progress", stage: "sending" }));
    expect(events.at(-1)).toEqual({ transfer, type: "result", ...result });
  });

  test("passes lines and failures of the remote side on", async () => {
    const lines: string[] = [];
    const say = ["sh", "-c", 'echo hello >&2; exec "$@"', "sh"];
    const remote = [...say, ...remotely("pull", "--to", `oci:${at("refused")}`, "--max-size", "10", "app:v1")];
    const pushed = push(
      { image: source, remote },
      { onEvent: (event) => event.type === "remote" && lines.push(event.line) },
    );
    await expect(pushed).rejects.toBeInstanceOf(RemoteFailure);
    await expect(pushed).rejects.toMatchObject({ code: "refused" });
    expect(lines).toContain("hello");
  });
});

test("pull returns the received layers and bytes", async () => {
  const remote = remotely("push", source);
  const result = await pull({ image: "app:v1", remote, as: "app:v2", to: `oci:${at("pulled")}` });
  expect(result).toMatchObject({ role: "receiver", image: "app:v1", name: "app:v2", layersSent: 2 });
  expect(await look("oci", at("pulled"), "app:v2")).toEqual(whole(image));
});

test.each<[string, () => Promise<unknown>, object]>([
  ["a missing image", () => push({ image: `oci:${at("nowhere")}`, remote: idle }), { code: "image-not-found" }],
  ["a name that cannot be", () => pull({ image: "App", remote: idle }), { code: "usage" }],
  ["a platform that cannot be", () => pull({ image: "app", platform: "arm64", remote: idle }), { code: "usage" }],
  ["a codec that cannot be", () => push({ image: source, compress: "lz4", remote: idle }), { code: "usage" }],
  [
    "a further tag that is a name",
    () => push({ image: source, tagAlso: ["app:v2"], remote: idle }),
    {
      code: "usage",
      message: 'the option tagAlso has the value "app:v2"',
      expected: "a tag without a name, e.g. latest",
    },
  ],
  ["a rate that cannot be", () => push({ image: source, bwlimit: 100, remote: idle }), { code: "usage" }],
  ["a folder that cannot be", () => push({ image: source, remote: "ssh://prod", farPath: ["bin"] }), { code: "usage" }],
  [
    "a folder in a home folder that is known there only",
    () => push({ image: source, remote: "ssh://prod", farPath: ["~/bin"] }),
    { code: "usage" },
  ],
  ["an image that cannot be", () => push({ image: source, remote: "ssh://prod", farImage: "A'" }), { code: "usage" }],
  ["no remote side", () => push({ image: source, remote: [] }), { code: "usage", exitStatus: 2 }],
])("%s causes a Failure with a code", async (_, transfer, failure) => {
  await expect(transfer()).rejects.toMatchObject({ name: "Failure", ...failure });
});

test("sends docker-over-ssh to a host that has only Node", async () => {
  const home = at("far-home");
  mkdirSync(home);
  // A stand-in for ssh: it runs the remote command locally, in its own home folder, and without an engine.
  const there = `HOME='${home}' XDG_CACHE_HOME= DOCKER_HOST=tcp://127.0.0.1:1`;
  writeFileSync(at("ssh"), `#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 2\n${there} exec sh -c "$*"\n`, {
    mode: 0o755,
  });
  const codes: string[] = [];
  const onEvent = (event: TransferEvent): void => void (event.type === "detail" && codes.push(event.code));
  const transfer = push(
    { image: source, as: "app:v1", remote: "ssh://prod", far: "node", ssh: [at("ssh")] },
    { onEvent },
  );
  await expect(transfer).rejects.toMatchObject({ name: "Failure", code: "engine-unreachable" });
  expect(codes).toEqual(expect.arrayContaining(["program-tried", "bundle-sent", "remote-found", "tunnel-opened"]));
  expect(readdirSync(join(home, ".cache/docker-over-ssh"))).toContainEqual(
    expect.stringMatching(/^bundle-[0-9a-f]{64}\.cjs$/),
  );
});

describe("a transfer is stopped", () => {
  test("by its signal, and rejects with the reason", async () => {
    const stop = new AbortController();
    const reason = new Error("no longer needed");
    const onEvent = ({ type }: TransferEvent): void => {
      if (type === "detail") stop.abort(reason);
    };
    await expect(push({ image: source, remote: idle }, { signal: stop.signal, onEvent })).rejects.toBe(reason);
    await expect(push({ image: source, remote: idle }, { signal: stop.signal })).rejects.toBe(reason);
  });

  test("by a listener that throws", async () => {
    const reason = new Error("a bug of the caller");
    const onEvent = (): void => {
      throw reason;
    };
    await expect(push({ image: source, remote: idle }, { onEvent })).rejects.toBe(reason);
  });
});

test("prints nothing, and leaves no listener on the process", async () => {
  const [out, err] = [vi.spyOn(process.stdout, "write"), vi.spyOn(process.stderr, "write")];
  const listeners = () => process.eventNames().map((name) => [name, process.listenerCount(name)]);
  const before = listeners();
  await push({ image: source, remote: remotely("pull", "--to", `oci:${at("quiet")}`, "app:v1") });
  await expect(push({ image: source, remote: ["false"] })).rejects.toMatchObject({ code: "remote-not-a-tunnel" });
  expect([out, err].flatMap((stream) => stream.mock.calls)).toEqual([]);
  expect(listeners()).toEqual(before);
});
