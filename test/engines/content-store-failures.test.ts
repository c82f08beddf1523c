import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startEngineProxy, type EngineProxy, type Treatment, type ProxyRule } from "../fixtures/engine-proxy.ts";
import { checkSaved, readTar } from "../matrix/saved-image.ts";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { whyNotKind } from "../testbed/engine-packages.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, done, dos, why, type Run } from "./bed.ts";

const whyNot = why ?? (await whyNotKind("29-containerd"));

const MB = 1_000_000;
/** HTTP/2 with prior knowledge, which is used with Docker 29 only, and the upgrade to HTTP/2. */
const [HTTP2, GRPC, LOAD] = [/^PRI /, /^POST \/grpc$/, /^POST \/images\/load$/];
const libraries = (seed: string): LayerSpec => ({ name: "libraries", bytes: 6 * MB, files: 6, seed });

/** Docker 29 and 28.5 with containerd stores, and the machine's Docker with a graph driver. */
type Where = "29" | "28.5" | "classic";
let pair: Testbed;
const engines: Record<Where, () => Engine> = { "29": () => pair.near, "28.5": () => pair.far, classic: () => bed.near };
const another = (where: Where): Engine => engines[where === "29" ? "28.5" : "29"]();
let proxies = 0;

beforeAll(async () => {
  if (!whyNot) pair = await startTestbed({ near: { kind: "29-containerd" }, far: { kind: "28.5-containerd" } });
});
afterAll(async () => await pair?.[Symbol.asyncDispose]());

async function proxyTo(engine: Engine, rules: ProxyRule[]): Promise<EngineProxy> {
  const listen = join(pair.folder, `proxy-${(proxies += 1)}.sock`);
  return await startEngineProxy({ engine: engine.description.socket, listen, rules });
}

/** Sends from engine to engine, both reached by their sockets. */
async function send(image: string, from: { host: string }, to: { host: string }): Promise<Run> {
  const pull = ["docker-over-ssh", "pull", "--verbose", "-H", to.host, image];
  return await dos(["push", "--verbose", "-H", from.host, image, ...pull], { on: pair });
}

/** Sends to an engine alone, reached through a command's stdin and stdout. */
async function sendAlone(image: string, from: { host: string }, to: { host: string }): Promise<Run> {
  const dial = ["docker", "-H", to.host, "system", "dial-stdio"];
  return await dos(["push", "--verbose", "-H", from.host, image, ...dial], { on: pair });
}

async function runs(engine: Engine, image: string): Promise<void> {
  expect((await engine.docker("run", "--rm", image)).stdout).toBe(image.replace(":", " "));
}

async function faults(engine: Engine, image: string): Promise<unknown> {
  const path = join(pair.folder, "saved.tar");
  await engine.docker("save", "--output", path, image);
  return checkSaved(await readTar(await readFile(path))).faults;
}

describe.skipIf(whyNot)(`a proxy in front of an engine ${whyNot ?? ""}`, () => {
  beforeAll(async () => {
    if (whyNot) return;
    for (const where of ["29", "28.5"] as const) {
      const engine = engines[where]();
      for (const tag of ["v1", "v2"]) await buildImage(engine, `of-${where}:${tag}`, [libraries(where)]);
      await send(`of-${where}:v1`, engine, another(where));
    }
  });

  afterEach(async () => {
    if (whyNot) return;
    await pair.near.docker("rmi", "--force", "of-28.5:v2");
    await pair.far.docker("rmi", "--force", "of-29:v2");
  });

  /** How the proxy treats the two ways to gRPC, and the transfers tested with it. */
  const refusals: {
    where: "29" | "28.5";
    what: string;
    http2?: Treatment;
    grpc: Treatment;
    ways: ("from" | "to" | "alone")[];
  }[] = [
    { where: "28.5", what: "refuses /grpc with 403", grpc: 403, ways: ["from", "to"] },
    { where: "28.5", what: "refuses /grpc with 404", grpc: 404, ways: ["alone"] },
    { where: "28.5", what: "refuses /grpc with 501", grpc: 501, ways: ["to"] },
    { where: "28.5", what: "never answers /grpc", grpc: "hang", ways: ["from", "to", "alone"] },
    { where: "29", what: "closes HTTP/2, and refuses /grpc", http2: "close", grpc: 403, ways: ["from", "to", "alone"] },
    { where: "29", what: "answers neither HTTP/2 nor /grpc", http2: "hang", grpc: "hang", ways: ["from", "to"] },
  ];

  describe.each(refusals)(
    "that $what, with Docker $where: the transfer works without the content store",
    ({ where, http2, grpc, ways }) => {
      const [engine, other] = [() => engines[where](), () => another(where)];
      const otherImage = `of-${where === "29" ? "28.5" : "29"}:v2`;
      const rules = [
        ...(http2 === undefined ? [] : [{ when: HTTP2, treatment: http2 }]),
        { when: GRPC, treatment: grpc },
      ];

      test.runIf(ways.includes("from"))("from it", async () => {
        await using proxy = await proxyTo(engine(), rules);
        const run = await send(`of-${where}:v2`, proxy, other());
        expect(run).toEqual(done);
        expect(run.stderr).toMatch(/for 1 layer, 2 layers.* already present/);
        expect(proxy.requests).toContainEqual(expect.stringMatching(/^POST .*\/push$/));
        await runs(other(), `of-${where}:v2`);
      });

      const toIt: [string, (proxy: EngineProxy) => Promise<Run>][] = [];
      if (ways.includes("to")) toIt.push(["to it", async (proxy) => await send(otherImage, other(), proxy)]);
      if (ways.includes("alone"))
        toIt.push(["to it as an engine alone", async (proxy) => await sendAlone(otherImage, other(), proxy)]);
      test.each(toIt)("%s", async (_, send) => {
        await using proxy = await proxyTo(engine(), rules);
        const run = await send(proxy);
        expect(run).toEqual(done);
        expect(run.stderr).toContain("the engine's content store is not accessible");
        await runs(engine(), otherImage);
      });
    },
  );

  test("that closes HTTP/2, with Docker 29: the transfer reaches the content store through /grpc", async () => {
    await using proxy = await proxyTo(pair.near, [{ when: HTTP2, treatment: "close" }]);
    const run = await send("of-28.5:v2", pair.far, proxy);
    expect(run).toEqual(done);
    expect(run.stderr).not.toContain("is not accessible");
    expect(proxy.requests).toContain("POST /grpc");
    await runs(pair.near, "of-28.5:v2");
  });
});

describe.skipIf(whyNot).each(["29", "28.5"] as const)(`an image from Docker %s ${whyNot ?? ""}`, (where) => {
  const image = `broken-${where}:v1`;
  const source = () => engines[where]();

  beforeAll(async () => {
    if (!whyNot) await buildImage(source(), image, [libraries(image)]);
  });

  test("arrives although the connection closes during a blob: a second connection reads the rest", async () => {
    const once: ProxyRule = { when: /^(?:PRI |POST \/grpc)/, treatment: { breakOffAfter: 3 * MB }, once: true };
    await using proxy = await proxyTo(source(), [once]);
    expect(await send(image, proxy, another(where))).toEqual(done);
    expect(proxy.requests.filter((request) => once.when.test(request))).toHaveLength(2);
    await runs(another(where), image);
    expect(await faults(another(where), image)).toEqual([]);
    await another(where).docker("rmi", image);
  });

  test("does not arrive if it is removed during the transfer: the error names the reason, and nothing is left behind", async () => {
    const before = await another(where).listing();
    const first = async (): Promise<unknown> => await source().docker("rmi", "--force", image);
    const rule: ProxyRule = { when: /^(?:PRI |POST \/grpc)/, treatment: { breakOffAfter: 3 * MB, first }, once: true };
    await using proxy = await proxyTo(source(), [rule]);
    const run = await send(image, proxy, another(where));
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toContain(`a layer of ${image} can no longer be read`);
    expect(await another(where).listing()).toEqual(before);
  });
});

describe.skipIf(whyNot)(`a layer that the receiver loses between check and load ${whyNot ?? ""}`, () => {
  test.each(["29", "28.5", "classic"] as const)("is sent in the same run, into %s", async (where) => {
    const [source, target] = [another(where), engines[where]()];
    const [old, image] = [`gone-${where}:v1`, `gone-${where}:v2`];
    for (const name of [old, image]) await buildImage(source, name, [libraries(old)]);
    expect(await send(old, source, target)).toEqual(done);
    const { references } = await target.listing();

    const passOnAfter = async (): Promise<unknown> => await target.docker("rmi", "--force", old);
    await using proxy = await proxyTo(target, [{ when: LOAD, treatment: { passOnAfter }, once: true }]);
    const run = await send(image, source, proxy);
    expect(run).toEqual(done);
    expect(run.stderr).toContain("were removed from the engine during the transfer: requesting them");
    await runs(target, image);
    expect(await faults(target, image)).toEqual([]);
    const left = (await target.listing()).references.filter((name) => !name.includes("@"));
    expect(left).toEqual(references.filter((name) => !name.includes("@")).map((name) => (name === old ? image : name)));
    await target.docker("rmi", image);
  });
});
