import { expect, test } from "vitest";
import { NOTHING, type DepartureOptions } from "../../src/departure/departure.ts";
import type { Source } from "../../src/departure/source.ts";
import { newRunId } from "../../src/engine/run-id.ts";
import { digestOf } from "../../src/image/digest.ts";
import type { Output } from "../../src/output/output.ts";
import { parseChoice } from "../../src/packing/choice.ts";
import { send, type PushRequest } from "../../src/push.ts";
import { bothHalves } from "../../src/stdio-tunnel/in-process.ts";

const output = { detail: () => {}, progress: () => {} } as unknown as Output;
const diffIds = [digestOf("layer")];

/** With what an image departs for a receiver that wants this. */
async function departureFor(request: Partial<PushRequest>, want: object): Promise<DepartureOptions> {
  let departed: DepartureOptions | undefined;
  const source: Source = {
    address: "a fake",
    check: async () => {},
    find: async () => ({
      diffIds,
      platform: "linux/amd64",
      depart: async (options) => ((departed = options), NOTHING),
    }),
    [Symbol.asyncDispose]: async () => {},
  };
  await bothHalves(
    {
      async sender(tunnel, signal) {
        await send(tunnel, source, { image: "app", command: [], ...request }, { output, signal, env: {} });
      },
      async receiver(tunnel) {
        await tunnel.send({ type: "ask", image: "app", run: newRunId() });
        await tunnel.send({ type: "want", diffIds, whole: false, nothing: false, ...want });
        await tunnel.next("offer");
        const counts = { layersSent: 1, layersPresent: 0, bytesPresent: 0, bytesReceived: 0 };
        await tunnel.finish({ image: "app", id: digestOf("config"), ...counts });
      },
    },
    { tool: "0.1.0-test", signal: new AbortController().signal },
  );
  return departed ?? expect.fail("nothing has departed");
}

/** How layers are packed for a receiver that says this of it, as `CODEC[:LEVEL]`. */
async function packingFor(request: Partial<PushRequest>, want: object): Promise<string> {
  const { codec, level } = (await departureFor(request, want)).packing;
  return [codec?.name ?? "plain", level].filter((word) => word !== undefined).join(":");
}

const codecs = ["brotli", "gzip"];

test("layers are packed as this side was told, else as the receiver wishes, else by the best that it unpacks", async () => {
  expect(await packingFor({ compress: parseChoice("gzip:9") }, { codecs, compress: "brotli:1" })).toBe("gzip:9");
  expect(await packingFor({}, { codecs, compress: "gzip:3" })).toBe("gzip:3");
  expect(await packingFor({}, { codecs, compress: "none" })).toBe("plain");
  expect(await packingFor({}, { codecs })).toBe("brotli");
});

test("not for a receiver that says of no way that it can, nor for one in the same process", async () => {
  expect(await packingFor({}, {})).toBe("plain");
  expect(await packingFor({ inProcess: true }, { codecs })).toBe("plain");
});

test("what the receiver lacks is said before anything departs", async () => {
  await expect(packingFor({ compress: parseChoice("gzip") }, { codecs: ["brotli"] })).rejects.toMatchObject({
    code: "usage",
    message: "--compress gzip: the receiving side has no gzip",
  });
});

test("layers are cut into pieces where both sides would, and there is a link between them", async () => {
  const cuts = async (request: Partial<PushRequest>, delta: boolean): Promise<boolean> =>
    (await departureFor(request, { codecs, delta })).want.delta;
  expect(await cuts({}, true)).toBe(true);
  expect(await cuts({}, false)).toBe(false);
  expect(await cuts({ delta: false }, true)).toBe(false);
  expect(await cuts({ inProcess: true }, true)).toBe(false);
});
