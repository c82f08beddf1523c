import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { rejection, temporaryFolder } from "../../../../test/unit/engine/fake-engine.ts";
import { fetchArchive, type FetchOptions } from "../../../src/net/fetch-archive.ts";
import type { FetchLimits } from "../../../src/settings.ts";
import { localServer, standInNetwork, type LocalServer } from "./local-server.ts";

const LIMITS: FetchLimits = { maxBytes: 1000, maxTime: 60_000, redirects: 2, allowedHosts: [] };
const never = new AbortController().signal;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let file: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  file = join(folder.path, "archive");
});
afterAll(async () => await folder[Symbol.asyncDispose]());

async function fetchFrom(
  { port }: LocalServer,
  target: string,
  limits: Partial<FetchLimits> = {},
  options: Partial<FetchOptions> = {},
): Promise<void> {
  const address = `http://files.example.com:${port}${target}`;
  await fetchArchive(address, file, { ...LIMITS, ...limits }, { signal: never, network: standInNetwork(), ...options });
}

test("fetches an archive to the file, and logs lines without secrets of the address", async () => {
  await using server = await localServer(
    ({ url }, response) =>
      url?.startsWith("/latest")
        ? response.writeHead(302, { location: "/app.tar.gz?signature=secret-word" }).end()
        : response.writeHead(200, { "content-encoding": "gzip" }).end(Buffer.alloc(1000, "x")),
    { host: "127.0.0.2" },
  );
  const lines: string[] = [];
  let last: unknown;
  await fetchFrom(
    server,
    "/latest?key=secret-word",
    {},
    {
      onLine: (line) => lines.push(line),
      onBytes: (...of) => (last = of),
    },
  );
  expect(await readFile(file, "utf8")).toBe("x".repeat(1000));
  expect(lines).toEqual([
    `Fetching http://files.example.com:${server.port}/latest`,
    `Redirected to http://files.example.com:${server.port}`,
    expect.stringMatching(/^Fetched 1 kB in \d/),
  ]);
  expect(last).toEqual([1000, undefined]);
});

test.each([
  ["with its length", { "content-length": "1001" }],
  ["without a length", {}],
])("rejects an archive above the limit, %s", async (_how, headers) => {
  await using server = await localServer(
    (_request, response) => response.writeHead(200, headers).end(Buffer.alloc(1001)),
    { host: "127.0.0.2" },
  );
  const error = await rejection(fetchFrom(server, "/"));
  expect(error).toMatchObject({ code: "context-invalid", expected: "at most 1 kB" });
});

test("does not read an archive that is too large to its end", async () => {
  await using server = await localServer(
    (_request, response) => {
      const more = (): void => {
        while (response.write(Buffer.alloc(100)));
        response.once("drain", more);
      };
      more();
    },
    { host: "127.0.0.2" },
  );
  expect((await rejection(fetchFrom(server, "/"))).code).toBe("context-invalid");
});

test("reports the status of an answer without success, and nothing of its body", async () => {
  await using server = await localServer(
    (_request, response) => response.writeHead(403, "secret-word").end("secret-word"),
    { host: "127.0.0.2" },
  );
  const { code, message, expected, hint } = await rejection(fetchFrom(server, "/a.tar?b"));
  expect(code).toBe("transfer-failed");
  expect(message).toBe(`http://files.example.com:${server.port}/a.tar answered with status 403`);
  expect(`${expected} ${hint}`).not.toContain("secret-word");
});

test("rejects too many redirects", async () => {
  await using server = await localServer((_request, response) => response.writeHead(302, { location: "/" }).end(), {
    host: "127.0.0.2",
  });
  expect((await rejection(fetchFrom(server, "/"))).message).toBe(
    "the address of the archive redirects more than 2 times",
  );
  expect(server.requests).toHaveLength(3);
});

test("rejects an archive that stops half-way", async () => {
  await using server = await localServer(
    (_request, response) =>
      void response.writeHead(200, { "content-length": "100" }).write("half", () => response.destroy()),
    { host: "127.0.0.2" },
  );
  const { code, message } = await rejection(fetchFrom(server, "/"));
  expect({ code, message }).toEqual({
    code: "transfer-failed",
    message: `files.example.com:${server.port} cannot be reached: it closed the connection`,
  });
});

test("rejects an archive that does not arrive in time", async () => {
  await using server = await localServer((_request, response) => void response.writeHead(200).write("slow"), {
    host: "127.0.0.2",
  });
  expect((await rejection(fetchFrom(server, "/", { maxTime: 50 }))).message).toBe(
    "the archive at the address did not arrive within 0.1 s",
  );
});

test("ends by the signal, with its reason", async () => {
  await using server = await localServer((_request, response) => void response.writeHead(200).write("slow"), {
    host: "127.0.0.2",
  });
  const stop = new AbortController();
  const fetched = fetchFrom(
    server,
    "/",
    {},
    { signal: stop.signal, onBytes: () => stop.abort(new Error("cancelled")) },
  );
  expect(await rejection(fetched)).toEqual(new Error("cancelled"));
});

test("rejects an address of this machine, and accepts an allowed one", async () => {
  await using server = await localServer((_request, response) => response.end("inside"));
  const address = `http://127.0.0.1:${server.port}/`;
  expect((await rejection(fetchArchive(address, file, LIMITS, { signal: never }))).code).toBe("refused");
  expect(server.requests).toEqual([]);
  await fetchArchive(address, file, { ...LIMITS, allowedHosts: ["127.0.0.1"] }, { signal: never });
  expect(await readFile(file, "utf8")).toBe("inside");
});
