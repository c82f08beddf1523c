import { createConnection, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, why } from "./bed.ts";
import { env, folder, MB } from "./engine-only-images.ts";

const IMAGES = ["several-hosts:v1", "several-hosts:v2"];

/** Images of this file alone, because an engine or a cache of the far machine may still have layers of other test files. */
beforeAll(async () => {
  if (why) return;
  for (const image of IMAGES) await buildImage(bed.near, image, [{ name: "several-hosts", bytes: 4 * MB, files: 40 }]);
});
afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, bed.far]) await engine.docker("rmi", "--force", ...IMAGES);
});

/** The requests to the near engine that read layers: saves and pushes. */
let reads: string[];
let server: Server;

/** Starts a proxy in front of the near engine's socket, which records the requests. */
beforeEach(async () => {
  if (why) return;
  reads = [];
  server = createServer((client) => {
    const engine = createConnection(bed.near.description.socket);
    client.on("data", (bytes: Buffer) => {
      const [, request] = /^((?:GET|POST) \S*\/images\/\S*\/(?:get|push))[? ]/m.exec(bytes.toString("latin1")) ?? [];
      if (request !== undefined) reads.push(request.replace(/127\.0\.0\.1:\d+/, "PORT"));
    });
    for (const socket of [client, engine]) socket.on("error", () => {});
    client.pipe(engine).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "engine.sock"), resolve));
});
afterEach(() => {
  if (!why) server.close();
});

/** Pushes to these hosts. Returns the requests to the near engine that read layers. */
async function pushTo(images: string[], ...hosts: string[]): Promise<string[]> {
  reads = [];
  await bed.far.docker("rmi", "--force", ...images);
  const through = { ...env, DOCKER_HOST: `unix://${join(folder, "engine.sock")}` };
  const run = await dos(["push", "--verbose", "--delta", "never", ...images, ...hosts], { env: through });
  expect(run).toEqual(done);
  return reads;
}

describe.skipIf(why)("several hosts", () => {
  test("the engine exports the layers once, whatever program runs on the hosts", async () => {
    const forOne = await pushTo(["several-hosts:v1"], "ssh://far");
    expect(forOne).not.toEqual([]);
    const forAll = await pushTo(["several-hosts:v1"], "ssh://far", "ssh://with-node", "ssh://root@bare");
    expect(forAll).toEqual(forOne);
    expect((await bed.far.docker("images", "--quiet", "several-hosts:v1")).stdout).not.toBe("");
  });

  test("the engine exports the layers of several images once", async () => {
    const forOne = await pushTo(IMAGES, "ssh://far");
    expect(await pushTo(IMAGES, "ssh://far", "ssh://with-node")).toEqual(forOne);
    for (const image of IMAGES) expect((await bed.far.docker("images", "--quiet", image)).stdout).not.toBe("");
  });
});
