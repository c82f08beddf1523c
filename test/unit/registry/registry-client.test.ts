import { createServer, type RequestListener } from "node:http";
import { duplexPair, type Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { RegistryClient } from "../../../src/registry/registry-client.ts";
import { NoRecipe } from "../../../src/registry/registry-client-errors.ts";

const blob = Buffer.from("abcdefghij");
const digest = digestOf(blob);

/** Returns a client of a registry with this listener. */
function clientOf(answer: RequestListener): RegistryClient {
  const server = createServer(answer);
  const connect = (): Duplex => {
    const [here, there] = duplexPair();
    server.emit("connection", there);
    return here;
  };
  return new RegistryClient({ connect, credentials: undefined, signal: new AbortController().signal });
}

/** Fetches a blob from offset 5, from a registry with this listener. */
async function fetchFrom5(answer: RequestListener): Promise<{ first: number; text: string }> {
  using client = clientOf(answer);
  const { signal } = new AbortController();
  const { first, bytes } = await client.stream("app", digest, { from: 5, signal });
  return { first, text: (await buffer(bytes)).toString() };
}

test("requests the rest of a blob", async () => {
  const ranges: (string | undefined)[] = [];
  const found = await fetchFrom5((request, response) => {
    ranges.push(request.headers.range);
    response.writeHead(206, { "content-range": "bytes 5-9/10" }).end(blob.subarray(5));
  });
  expect([found, ranges]).toEqual([{ first: 5, text: "fghij" }, ["bytes=5-"]]);
});

test("accepts the whole blob from a server without ranges", async () => {
  expect(await fetchFrom5((_, response) => void response.end(blob))).toEqual({ first: 0, text: "abcdefghij" });
});

test("accepts a larger range", async () => {
  const earlier: RequestListener = (_, response) =>
    void response.writeHead(206, { "content-range": "bytes 3-9/10" }).end(blob.subarray(3));
  expect(await fetchFrom5(earlier)).toEqual({ first: 3, text: "defghij" });
});

test.each([["bytes 6-9/10"], ["bytes */10"], ["6"], [undefined]])("rejects the range %s", async (range) => {
  const answer: RequestListener = (_, response) =>
    void response.writeHead(206, range === undefined ? {} : { "content-range": range }).end(blob.subarray(6));
  await expect(fetchFrom5(answer)).rejects.toMatchObject({ code: "not-verified" });
});

test("rejects status 416", async () => {
  await expect(fetchFrom5((_, response) => void response.writeHead(416).end())).rejects.toThrow("status 416");
});

test("distinguishes a layer without a recipe from a registry that fails", async () => {
  using withoutRecipe = clientOf((_, response) => void response.writeHead(404).end());
  await expect(withoutRecipe.recipe("app", digest)).rejects.toBeInstanceOf(NoRecipe);
  using failing = clientOf((_, response) => void response.writeHead(500).end());
  await expect(failing.recipe("app", digest)).rejects.toMatchObject({ code: "registry-unavailable" });
});
