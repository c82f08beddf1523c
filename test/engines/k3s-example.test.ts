import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, why } from "./bed.ts";

/** k3s is not installed. A stand-in for its `ctr` connects to the containerd of the far engine, with the namespace in which k3s stores its images. */
describe.skipIf(why)(`examples/k3s ${why ?? ""}`, () => {
  const images = ["pod:v1", "pod:v2"];
  const imported = images.map((image) => `docker.io/library/${image}`);
  const ctr = () => ["ctr", "--address", join(bed.folder, "far/containerd.sock"), "--namespace", "k8s.io"];

  beforeAll(async () => {
    if (why) return;
    const [k3s, sudo] = [`shift; exec ${ctr().join(" ")} "$@"`, 'exec "$@"'];
    for (const [name, code] of Object.entries({ k3s, sudo })) {
      writeFileSync(join(bed.bin, name), `#!/bin/sh\n${code}\n`, { mode: 0o755 });
    }
    for (const image of images) await buildImage(bed.near, image);
  });

  afterAll(async () => {
    if (why) return;
    for (const name of ["k3s", "sudo"]) rmSync(join(bed.bin, name));
    await execa({ env: bed.env })`ssh far rm -rf images`;
    await bed.near.docker("rmi", ...images);
  });

  test.each(["import.sh", "import-missing.sh"])(
    "%s: containerd then has the complete, unpacked images",
    async (script) => {
      const path = join(import.meta.dirname, "../../examples/k3s", script);
      for (const image of images) await execa({ env: { ...bed.env, NODE: "far" } })`${path} ${image}`;
      const { stdout } = await execa`${ctr()} images check`;
      const lines = stdout.split("\n").slice(1);
      expect(lines.map((line) => /^(\S+).* complete .* (true|false)\b/.exec(line)?.slice(1))).toEqual(
        imported.map((name) => [name, "true"]),
      );
      await execa`${ctr()} images rm ${imported}`;
    },
  );
});
