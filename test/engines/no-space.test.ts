import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { registryImage } from "../testbed/registry-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { dos, rememberEngines, unchanged, why } from "./bed.ts";

const MB = 1_000_000;
let small: Testbed;

beforeAll(async () => {
  if (why) return;
  small = await startTestbed({ near: { diskMB: 250 }, far: { diskMB: 150, kind: "26.1" } });
  for (const engine of [small.near, small.far]) await registryImage(engine);
  await buildImage(small.near, "large:v1", [{ name: "data", bytes: 50 * MB }]);
  await buildImage(small.near, "medium:v1", [{ name: "data", bytes: 20 * MB }]);
  // Near has space for a copy of the medium image, not of the large one; far for neither.
  await leaveSpace(small.near, 35);
  await leaveSpace(small.far, 10);
});

/** Fills an engine's disk until `left` MiB are free. */
async function leaveSpace(engine: Engine, left: number): Promise<void> {
  const script = `free=$(df -m /fill | tail -1 | awk '{print $4}'); dd if=/dev/zero of=/fill/it bs=1M count=$((free - ${left}))`;
  const container = ["run", "--rm", "--volume", "fill:/fill", "--entrypoint", "/bin/busybox", "registry:2"];
  await engine.docker(...container, "sh", "-c", script);
}

afterAll(async () => await small?.[Symbol.asyncDispose]());

describe.skipIf(why)(`a full disk ${why ?? ""}`, () => {
  test.each([
    [
      "where the temporary registry is",
      "large:v1",
      "the temporary registry ran out of disk space",
      "container",
      "--to docker-archive:/tmp/no-space.tar",
    ],
    [
      "where the image arrives, before it is sent",
      "medium:v1",
      "the remote side failed: the disk of the receiving engine has ",
      "embedded",
      "",
    ],
  ])("%s: fails with status 11, and leaves nothing", async (_, image, message, registry, to) => {
    const changes = await rememberEngines(small.near, small.far);
    const run = await dos(
      ["push", "--registry", registry, image, "ssh", "far", `docker-over-ssh pull ${to} ${image}`],
      {
        on: small,
      },
    );
    expect(run.stderr).toContain(message);
    expect(run.stderr).toMatch(/space/);
    expect(run.exitCode).toBe(11);
    expect(await changes()).toEqual(unchanged(2));
  });
});
