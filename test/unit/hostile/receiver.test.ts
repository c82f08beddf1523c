/** A hostile receiver. It receives only the image, and leaves no file behind. */
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { basicAuth } from "../../../src/registry/password.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { asSocket } from "../../../src/streams/bridge.ts";
import { gzipped, makeImage, ociBlobs } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../command-line/images.ts";
import { playRemoteSide } from "./remote-side.ts";
import { outcome, refused, folder, makeWorkspace, type ProgramRun } from "./run-program.ts";

const image = await makeImage([3000, 70_000, 8_000_000]);
const [first = "", ...others] = image.diffIds;
const [layer = "", unwanted = "", large = ""] = ociBlobs(image, gzipped).descriptors.map(({ digest }) => digest);
const source = join(folder, "source");
await writeTree(source, layoutOf([{ image, ref: "v1" }]));

interface Offer {
  repository: string;
  tag: string;
  credentials: { username: string; password: string };
}

/** How a receiver deviates: fields of its messages, and its actions after the offer. */
interface Attack {
  ask?: object;
  want?: object;
  afterOffer?: (tunnel: Tunnel, offer: Offer) => Promise<unknown>;
}

async function pushTo({ ask, want, afterOffer = async () => {} }: Attack): Promise<ProgramRun> {
  const { run, socket } = await makeWorkspace();
  await using remote = await playRemoteSide(socket, "receiver", async (tunnel) => {
    await tunnel.send({ type: "ask", image: "app:v1", run: newRunId(), ...ask });
    await tunnel.next("about");
    await tunnel.send({ type: "want", diffIds: [first], whole: false, nothing: false, codecs: [], ...want });
    await afterOffer(tunnel, (await tunnel.next("offer")) as unknown as Offer);
  });
  return await run("push", `oci:${source}`, ...remote.command);
}

interface TestRequest {
  path: string;
  method?: string;
  headers?: Record<string, string>;
}

/** Sends a request to the registry behind the tunnel, and reads the response to its end. */
async function fetchFrom(
  tunnel: Tunnel,
  { path, method = "GET", headers = {} }: TestRequest,
): Promise<[number, string]> {
  const agent = new Agent({ keepAlive: false });
  agent.createConnection = () => asSocket(tunnel.connect("registry"));
  const outgoing = request({ host: "registry", path, method, headers, agent });
  outgoing.end();
  outgoing.on("error", () => {}); // the tunnel may end
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return [response.statusCode ?? 0, await text(response)];
}

describe.concurrent("a receiver that breaks the protocol", () => {
  test.each<[string, Attack, number, RegExp]>([
    ["asks for a file", { ask: { image: "../../etc/passwd" } }, 1, /broke the protocol: a malformed ask/],
    ["sends a run ID that is a path", { ask: { run: "../../x" } }, 1, /a malformed ask/],
    ["asks for an invalid platform", { ask: { platform: "linux amd64; rm" } }, 1, /a malformed name/],
    ["asks for another platform", { ask: { platform: "linux/s390x" } }, 3, /no image v?.*for linux\/s390x/],
    [
      "wants layers that are not of the image",
      { want: { diffIds: [digestOf("x")] } },
      13,
      /wants layers that this image does not have/,
    ],
    ["wants 10,000 layers", { want: { diffIds: Array.from({ length: 10_000 }, () => first) } }, 1, /a malformed list/],
    ["wants a layer that is a path", { want: { diffIds: ["sha256:../../../etc/passwd"] } }, 1, /a malformed name/],
    ["has invalid codecs", { want: { codecs: [{}] } }, 1, /a malformed text/],
    ["has an invalid --compress", { want: { compress: "gzip:9; rm" } }, 1, /a malformed choice/],
    [
      "has --compress zstd without that codec",
      { want: { codecs: ["gzip"], compress: "zstd" } },
      2,
      /(?:receiving side has no|neither side has) zstd/,
    ],
    ["has 10,000 codecs", { want: { codecs: Array.from({ length: 10_000 }, () => "brotli") } }, 1, /a malformed list/],
    [
      "sends an invalid result",
      { afterOffer: async (tunnel) => await tunnel.send({ type: "result", image: "app", id: 7 }) },
      1,
      /a malformed/,
    ],
    ["wants a layer without a name", { want: { diffIds: [null] } }, 1, /a malformed list/],
  ])("%s", async (_, attack, status, message) =>
    expect(outcome(await pushTo(attack))).toEqual(refused(status, message)),
  );
});

test("gets no answer to requests for anything else", async () => {
  const responses: [string, number, string][] = [];
  const ended = await pushTo({
    async afterOffer(tunnel, { repository, credentials }) {
      const authorization = basicAuth(credentials);
      const requests: TestRequest[] = [
        `/v2/${repository}/blobs/../../../../../../etc/passwd`,
        `/v2/${repository}/blobs/..%2f..%2f..%2f..%2fetc%2fpasswd`,
        `/v2/${repository}/blobs/sha256:..%2f..%2foci-layout`,
        `/v2/${repository}/manifests/..%2f..%2findex.json`,
        `/v2/..%2f..%2fetc/manifests/passwd`,
        `/v2/../../../../etc/passwd`,
        `//etc/passwd`,
        `file:///etc/passwd`,
        `/v2/other/blobs/${layer}`,
        `/v2/${repository}/blobs/${unwanted}`,
        `/v2/${repository}/blobs/${digestOf("x")}`,
        `/v2/${repository}/${"x".repeat(5000)}`,
      ].map((path) => ({ path, headers: { authorization } }));
      requests.push(
        { path: `/v2/${repository}/blobs/uploads/`, method: "POST", headers: { authorization } },
        { path: `/v2/${repository}/manifests/v1`, method: "PUT", headers: { authorization } },
        { path: `/v2/${repository}/blobs/${layer}`, method: "DELETE", headers: { authorization } },
        { path: `/v2/${repository}/blobs/${layer}` },
        {
          path: `/v2/${repository}/blobs/${layer}`,
          headers: { authorization: basicAuth({ username: "u", password: "p" }) },
        },
      );
      for (const one of requests) responses.push([`${one.method ?? ""}${one.path}`, ...(await fetchFrom(tunnel, one))]);
    },
  });
  expect(responses).toHaveLength(17);
  for (const [path, status, body] of responses) {
    expect.soft({ path, refused: status >= 400 && status < 500, body }).toMatchObject({ path, refused: true });
    expect.soft(body).toMatch(/^\{"errors":/);
  }
  expect(outcome(ended)).toEqual(refused(9, /the connection to the remote side was lost/));
});

function getLarge(repository: string, credentials: Offer["credentials"]): string {
  const head = `GET /v2/${repository}/blobs/${large} HTTP/1.1\r\nhost: x`;
  return `${head}\r\nauthorization: ${basicAuth(credentials)}\r\n\r\n`;
}

describe.concurrent("a receiver that closes the connection", () => {
  test.each<[string, Attack]>([
    [
      "in the middle of a layer",
      {
        want: { diffIds: others },
        async afterOffer(tunnel, { repository, credentials }) {
          const stream = tunnel.connect("registry");
          stream.write(getLarge(repository, credentials));
          await once(stream, "data");
        },
      },
    ],
    [
      "after it has reset a hundred requests",
      {
        want: { diffIds: others },
        async afterOffer(tunnel, { repository, credentials }) {
          for (let count = 0; count < 100; count++) {
            const stream = tunnel.connect("registry");
            stream.on("error", () => {});
            stream.write(getLarge(repository, credentials));
            await once(stream, "data");
            stream.destroy();
          }
        },
      },
    ],
    [
      "after it has requested unknown services",
      {
        async afterOffer(tunnel) {
          const streams = Array.from({ length: 50 }, () => tunnel.connect("../../bin/sh").on("error", () => {}));
          await Promise.all(
            streams.map(async (stream) => await new Promise((resolve) => stream.once("close", resolve))),
          );
        },
      },
    ],
  ])("%s", async (_, attack) =>
    expect(outcome(await pushTo(attack))).toEqual(refused(9, /the connection to the remote side was lost/)),
  );
});
