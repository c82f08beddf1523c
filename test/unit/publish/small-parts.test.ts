import { describe, expect, test } from "vitest";
import { readPublishRequest } from "../../../src/commands/options/read-publish.ts";
import { InvalidEventStream, readEvents, type ServerEvent } from "../../../src/publish/event-stream.ts";
import { readServerAddress } from "../../../src/publish/server-address.ts";

describe("the address of the service", () => {
  test.each([
    ["https://build.example.com", "https://build.example.com/", true],
    ["http://build.example.com:8080/ci/", "http://build.example.com:8080/ci/", false],
    ["http://localhost:8080", "http://localhost:8080/", true],
    ["http://127.8.8.8:1", "http://127.8.8.8:1/", true],
    ["http://[::1]:1", "http://[::1]:1/", true],
    ["http://127.0.0.1.example.com", "http://127.0.0.1.example.com/", false],
    ["http://localhost.example.com", "http://localhost.example.com/", false],
    ["http://0x7f.1:80", "http://127.0.0.1/", true],
    ["http://[::ffff:10.0.0.1]", "http://[::ffff:a00:1]/", false],
  ])("--server %s", (given, href, isPrivate) => {
    const address = readServerAddress(given, { BUILD_HOST: "other.example.com" });
    expect([address.base.href, address.isPrivate]).toEqual([href, isPrivate]);
    expect(new URL("api/v2/builds", address.base).href).toBe(`${href}api/v2/builds`);
  });

  test.each([
    ["build.example.com", "80", "http://build.example.com"],
    ["build.example.com", "", "http://build.example.com:8080"],
    ["build.example.com:81", "", "http://build.example.com:81"],
    ["fd00::1", "82", "http://[fd00::1]:82"],
    ["https://build.example.com", "", "https://build.example.com"],
    ["https://build.example.com/ci", "8443", "https://build.example.com:8443/ci"],
    ["unix:///run/serve.sock", "", "unix:/run/serve.sock"],
  ])("BUILD_HOST=%s BUILD_PORT=%s", (BUILD_HOST, BUILD_PORT, shown) => {
    expect(readServerAddress(undefined, { BUILD_HOST, BUILD_PORT }).shown).toBe(shown);
  });

  test.each([
    [undefined, {}, "no address of a build service is given"],
    ["ftp://build.example.com", {}, "is not an address"],
    ["build.example.com", {}, "is not an address"],
    ["https://build.example.com/?a", {}, "is not an address"],
    ["https://:dos_token@build.example.com", {}, "has a user or a password"],
    [undefined, { BUILD_HOST: "build.example.com", BUILD_PORT: "80x" }, "is not an address"],
    [undefined, { BUILD_HOST: "a b" }, "is not an address"],
  ])("rejects %s %j", (given, env, message) => {
    const read = (): unknown => readServerAddress(given, env);
    expect(read).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining(message) as string }),
    );
    expect(read).not.toThrow("dos_token");
  });
});

describe("a stream of events", () => {
  async function read(chunks: readonly Buffer[], lastId?: string): Promise<ServerEvent[]> {
    async function* stream(): AsyncGenerator<Buffer> {
      yield* chunks;
    }
    const events: ServerEvent[] = [];
    for await (const event of readEvents(stream(), lastId)) events.push(event);
    return events;
  }

  const TEXT = `\ufeff: comment
id: 1
event: log
data: é\u2028 : x

data:a
data
data:  b

id: bad\0id
id: \u4e2d
retry: 10
unknown: 1
event: only-a-name

event: log
id
data: {}

data: cut off`;
  const EVENTS = [
    { type: "log", data: "é\u2028 : x", lastId: "1" },
    { type: "message", data: "a\n\n b", lastId: "1" },
    { type: "log", data: "{}", lastId: "" },
  ];

  test.each([["\n"], ["\r\n"], ["\r"]])("lines that end with %j", async (end) => {
    expect(await read([Buffer.from(TEXT.replaceAll("\n", end))])).toEqual(EVENTS);
  });

  test.each([["\n"], ["\r\n"], ["\r"]])("a byte at a time, with %j", async (end) => {
    const bytes = Buffer.from(TEXT.replaceAll("\n", end));
    expect(await read(Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)))).toEqual(EVENTS);
  });

  test("begins after the known ID", async () => {
    expect(await read([Buffer.from("data: x\n\n")], "7")).toEqual([{ type: "message", data: "x", lastId: "7" }]);
  });

  test.each([
    ["a line", "x".repeat(1_000_000)],
    ["an event", `data: ${"x".repeat(1_000_000)}\n`],
  ])("%s without an end does not fill the memory", async (_, chunk) => {
    let chunks = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (; ; chunks++) yield Buffer.from(chunk);
    }
    await expect(readEvents(endless()).next()).rejects.toThrow(InvalidEventStream);
    expect(chunks).toBeLessThan(10);
  });
});

describe("the command line", () => {
  test.each([
    ["app@sha256:" + "0".repeat(64), ".", {}, "has a digest"],
    ["App", ".", {}, "App"],
    ["app", "https://git.example.com/team/app.git", {}, "is an address"],
    ["app", "-", { file: "../Dockerfile" }, "is not the path of a file in the archive"],
    ["app", ".", { file: "no such file" }, "there is no no such file"],
  ])("rejects %s %s %j", (name, context, options, message) => {
    expect(() => readPublishRequest(name, context, options, {})).toThrow(message);
  });
});
