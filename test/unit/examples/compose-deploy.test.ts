import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { layoutOf, look, whole, writeTree } from "../command-line/images.ts";
import { makeImage } from "../image/make-image.ts";
import { at, example, makeStandIns, runNear } from "./stand-ins.ts";

const images = [
  { image: await makeImage([3000, 200_000, 700]), ref: "shop-web:v7" },
  { image: await makeImage([3000, 200_000, 800]), ref: "shop-worker:v7" },
];
await writeTree(at("near/images"), layoutOf(images));

const file = example("compose-deploy/compose.yaml");
interface Project {
  services: Record<string, { image: string; build?: string }>;
}

/** The output of `docker compose config` for compose.yaml, with the layout in place of the engine. */
function composeConfig(): string {
  const project = parse(readFileSync(file, "utf8").replaceAll("${VERSION:?}", "v7")) as Project;
  for (const service of Object.values(project.services)) {
    if (service.build !== undefined) service.image = `oci:${at("near/images")}:${service.image}`;
  }
  return JSON.stringify(project);
}

/** @param start shell code that sets the status of docker compose on the host */
async function deploy(start = "exit 0") {
  const calls = at("calls");
  await makeStandIns({
    "near/docker": `echo "docker $* VERSION=$VERSION" >> ${calls}
[ "$4" != config ] || echo '${composeConfig()}'`,
    "far/docker": `echo "there: docker $*" >> ${calls}; ${start}`,
  });
  const env = { DEPLOY_HOST: "deploy@server.example.com", VERSION: "v7" };
  return await runNear([example("compose-deploy/deploy.sh")], env);
}

beforeEach(async () => {
  for (const name of ["calls", "far"]) await rm(at(name), { recursive: true, force: true });
});

test("deploy.sh builds locally, sends the built images, and starts the project on the host", async () => {
  await mkdir(at("far/shop"), { recursive: true });
  await writeFile(at("far/shop/.env"), "VERSION=v6\nPOSTGRES_PASSWORD=1234"); // without a newline
  const { exitCode, stderr } = await deploy();
  expect(stderr).toMatch(/shop-worker:v7: .* for 1 layer, 2 layers/);
  expect(exitCode).toBe(0);
  expect(
    readFileSync(at("calls"), "utf8")
      .split("\n")
      .filter((line) => line.includes("docker")),
  ).toEqual([
    "docker compose --file compose.yaml build VERSION=v7",
    "docker compose --file compose.yaml config --format json VERSION=v7",
    "there: docker compose up --detach --no-build",
  ]);
  expect(readFileSync(at("far/shop/.env"), "utf8")).toBe("POSTGRES_PASSWORD=1234\nVERSION=v7\n");
  expect(readFileSync(at("far/shop/compose.yaml"), "utf8")).toBe(readFileSync(file, "utf8"));
  for (const { image, ref } of images) expect(await look("oci", at("far/images"), ref)).toEqual(whole(image));
});

test("deploy.sh exits with the status of a failed start", async () => {
  expect((await deploy("exit 17")).exitCode).toBe(17);
});

test("nothing changes on the host if an image cannot be sent", async () => {
  await rm(at("near/images"), { recursive: true });
  expect((await deploy()).exitCode).toBe(3);
  expect(existsSync(at("far/shop/compose.yaml"))).toBe(false);
  expect(readFileSync(at("calls"), "utf8")).not.toContain("there: ");
});
