import { createConnection, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bed, done, dos, why } from "./bed.ts";
import { env, folder } from "./engine-only-images.ts";

/** The requests to the near engine that read layers: saves and pushes. */
let reads: string[];
let server: Server;

/** Stands before the near engine's socket, and notes what is asked of it. */
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

/** Pushes to these hosts. Returns what was asked of the near engine meanwhile. */
async function pushTo(images: string[], ...hosts: string[]): Promise<string[]> {
  reads = [];
  await bed.far.docker("rmi", "--force", ...images);
  const through = { ...env, DOCKER_HOST: `unix://${join(folder, "engine.sock")}` };
  const run = await dos(["push", "--verbose", "--delta", "never", ...images, ...hosts], { env: through });
  expect(run).toEqual(done);
  return reads;
}

describe.skipIf(why)("several hosts", () => {
  test("the engine gives the layers once, whatever runs on the hosts", async () => {
    const forOne = await pushTo(["engine-only:v1"], "ssh://far");
    expect(forOne).not.toEqual([]);
    const forAll = await pushTo(["engine-only:v1"], "ssh://far", "ssh://with-node", "ssh://root@bare");
    expect(forAll).toEqual(forOne);
    expect((await bed.far.docker("images", "--quiet", "engine-only:v1")).stdout).not.toBe("");
  });

  test("several images to several hosts", async () => {
    const images = ["engine-only:v1", "engine-only:v2"];
    const forOne = await pushTo(images, "ssh://far");
    expect(await pushTo(images, "ssh://far", "ssh://with-node")).toEqual(forOne);
    for (const image of images) expect((await bed.far.docker("images", "--quiet", image)).stdout).not.toBe("");
  });
});
