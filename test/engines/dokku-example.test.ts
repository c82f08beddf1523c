import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, why } from "./bed.ts";

/** dokku is not installed: a stand-in on the far machine records its calls. */
test.skipIf(why)(
  `examples/dokku/deploy.sh builds the image locally, and has dokku deploy it on the server ${why ?? ""}`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "dos-dokku-"));
    const calls = join(bed.folder, "dokku-calls");
    writeFileSync(join(bed.bin, "dokku"), `#!/bin/sh\necho "$@" >>${calls}; docker run --rm "$3" >>${calls}\n`, {
      mode: 0o755,
    });
    await buildImage(bed.near, "blog:base");
    writeFileSync(join(folder, "Dockerfile"), "FROM blog:base\nENV GREETING=hello\n");
    const script = join(import.meta.dirname, "../../examples/dokku/deploy.sh");
    await execa({
      env: { ...bed.env, APP: "blog", DOKKU_HOST: "far", VERSION: "v7", DOCKER_BUILDKIT: "0" },
    })`${script} ${folder}`;
    expect(readFileSync(calls, "utf8")).toBe("git:from-image blog dokku/blog:v7\nblog base\n");
    await bed.near.docker("rmi", "dokku/blog:v7", "blog:base");
    await bed.far.docker("rmi", "dokku/blog:v7");
    rmSync(folder, { recursive: true });
  },
);
