import { createServer, type RequestListener } from "node:http";
import { duplexPair, type Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { RegistryClient } from "../../../src/registry/registry-client.ts";
import { NoRecipe } from "../../../src/registry/registry-client-errors.ts";

const blob = Buffer.from("abcdefghij");
const digest = digestOf(blob);

/** Of a registry that answers so. */
function clientOf(answer: RequestListener): RegistryClient {
  const server = createServer(answer);
  const connect = (): Duplex => {
    const [here, there] = duplexPair();
    server.emit("connection", there);
    return here;
  };
  return new RegistryClient({ connect, credentials: undefined, signal: new AbortController().signal });
}

/** What the client makes of a blob from the fifth byte on, of a registry that answers so. */
async function fromFifth(answer: RequestListener): Promise<{ first: number; text: string }> {
  using client = clientOf(answer);
  const { signal } = new AbortController();
  const { first, bytes } = await client.stream("app", digest, { from: 5, signal });
  return { first, text: (await buffer(bytes)).toString() };
}

test("the rest of a blob is asked for", async () => {
  const asked: (string | undefined)[] = [];
  const found = await fromFifth((request, response) => {
    asked.push(request.headers.range);
    response.writeHead(206, { "content-range": "bytes 5-9/10" }).end(blob.subarray(5));
  });
  expect([found, asked]).toEqual([{ first: 5, text: "fghij" }, ["bytes=5-"]]);
});

test("who does not know ranges gives all of it, and says so", async () => {
  expect(await fromFifth((_, response) => void response.end(blob))).toEqual({ first: 0, text: "abcdefghij" });
});

test("so does who gives more than was asked for", async () => {
  const earlier: RequestListener = (_, response) =>
    void response.writeHead(206, { "content-range": "bytes 3-9/10" }).end(blob.subarray(3));
  expect(await fromFifth(earlier)).toEqual({ first: 3, text: "defghij" });
});

test.each([["bytes 6-9/10"], ["bytes */10"], ["6"], [undefined]])("a part %s is none of use", async (range) => {
  const answer: RequestListener = (_, response) =>
    void response.writeHead(206, range === undefined ? {} : { "content-range": range }).end(blob.subarray(6));
  await expect(fromFifth(answer)).rejects.toMatchObject({ code: "not-verified" });
});

test("a part that there is not is refused", async () => {
  await expect(fromFifth((_, response) => void response.writeHead(416).end())).rejects.toThrow("status 416");
});

test("a layer without a recipe is told from a registry that fails", async () => {
  using none = clientOf((_, response) => void response.writeHead(404).end());
  await expect(none.recipe("app", digest)).rejects.toBeInstanceOf(NoRecipe);
  using failing = clientOf((_, response) => void response.writeHead(500).end());
  await expect(failing.recipe("app", digest)).rejects.toMatchObject({ code: "registry-unavailable" });
});
