import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { findProgram } from "../testbed/programs.ts";
import { bed, why } from "./bed.ts";

const services = ["web", "worker"];
const project = {
  services: { ...Object.fromEntries(services.map((name) => [name, serviceOf(name)])), db: { image: "postgres:17" } },
};
function serviceOf(name: string): object {
  return { image: `shop-${name}:v7`, build: { context: name } };
}

/** compose is not installed. A wrapper around docker takes its role: it builds, prints the project, and starts its service `web`. */
test.skipIf(why)(
  `examples/compose-deploy/deploy.sh sends the images that it builds, and starts them on the host ${why ?? ""}`,
  async () => {
    const bin = join(bed.folder, "compose-bin");
    mkdirSync(bin);
    const docker = (await findProgram("docker")) ?? "docker";
    const compose = `#!/bin/sh
case "$1 $4" in
  "compose build") for name in ${services.join(" ")}; do ${docker} tag shop-base:v1 shop-$name:$VERSION; done ;;
  "compose config") echo '${JSON.stringify(project)}' ;;
  *) exec ${docker} "$@" ;;
esac
`;
    writeFileSync(join(bin, "docker"), compose, { mode: 0o755 });
    await buildImage(bed.near, "shop-base:v1");
    const path = [bin, bed.env["PATH"]].join(delimiter);
    const env = { ...bed.env, PATH: path, DEPLOY_HOST: "far", VERSION: "v7" };
    const started = join(bed.folder, "compose-started");
    const up = `#!/bin/sh
[ "$*" = "compose up --detach --no-build" ] || exec ${docker} "$@"
. ./.env; ${docker} run --rm shop-web:$VERSION > ${started}; ls compose.yaml >> ${started}
`;
    writeFileSync(join(bed.bin, "docker"), up, { mode: 0o755 });
    try {
      await execa({ env })`${join(import.meta.dirname, "../../examples/compose-deploy/deploy.sh")}`;
    } finally {
      rmSync(join(bed.bin, "docker"));
    }
    expect(readFileSync(started, "utf8")).toBe("shop-base v1\ncompose.yaml\n");
    const names = services.map((name) => `shop-${name}:v7`);
    await bed.far.docker("rmi", ...names);
    await bed.near.docker("rmi", "shop-base:v1", ...names);
    await execa({ env: bed.env })`ssh far rm -r shop`;
  },
);
