import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { registryImage } from "../testbed/registry-image.ts";
import { until } from "../testbed/wait.ts";
import { bed, why } from "./bed.ts";

const examples = join(import.meta.dirname, "../../examples");
let folder: string;

beforeAll(() => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-build-example-"));
  writeFileSync(join(folder, "Dockerfile"), 'FROM scratch\nCOPY . /\nCMD ["/app"]\n');
  writeFileSync(join(folder, "app"), "the app\n");
  writeFileSync(join(folder, ".gitignore"), "secret.txt\n");
  writeFileSync(join(folder, "secret.txt"), "stays here\n");
});
afterAll(() => {
  if (!why) rmSync(folder, { recursive: true });
});

/** Sends a request on the far machine, because each machine has its own 127.0.0.1. */
async function fromFar(url: string): Promise<string> {
  const script = `fetch('${url}').then((answer) => answer.text()).then(console.log)`;
  return (await execa("ssh", ["far", `node -e "${script}"`], { env: bed.env, stdin: "ignore" })).stdout;
}

/** Starts a registry on the far engine, at a port that only the far machine reaches. */
async function registryOnFar(): Promise<{ host: string } & AsyncDisposable> {
  const image = "build-example-registry:2";
  await registryImage(bed.far, image);
  const id = (await bed.far.docker("run", "--detach", "--publish", "127.0.0.1::5000", image)).stdout;
  const host = (await bed.far.docker("port", id, "5000")).stdout.split("\n")[0] ?? "";
  await until(`the registry at ${host} answers`, async () => {
    return await fromFar(`http://${host}/v2/`).then(
      () => true,
      () => false,
    );
  });
  return {
    host,
    async [Symbol.asyncDispose]() {
      await bed.far.docker("rm", "--force", "--volumes", id);
      await bed.far.docker("rmi", "--force", image);
    },
  };
}

describe.skipIf(why)("examples", () => {
  test("laptop-without-docker/build.sh has a server build and publish an image, without using a local engine", async () => {
    await using registry = await registryOnFar();
    const name = `${registry.host}/team/laptop`;
    const env = { ...bed.env, DOCKER_HOST: "unix:///nowhere/docker.sock", HOST: "far", IMAGE: name, VERSION: "v7" };
    const { stdout } = await execa({ env })`${join(examples, "laptop-without-docker/build.sh")} ${folder}`;
    expect(stdout).toBe(`${name}:v7`);
    const tags = await fromFar(`http://${registry.host}/v2/team/laptop/tags/list`);
    expect(JSON.parse(tags)).toEqual({ name: "team/laptop", tags: ["v7"] });
    await bed.far.docker("rmi", `${name}:v7`);
  });

  test("dokku/build-there.sh has the server build the image, and dokku deploy it", async () => {
    const calls = join(bed.folder, "dokku-build-calls");
    writeFileSync(join(bed.bin, "dokku"), `#!/bin/sh\necho "$@" >>${calls}\n`, { mode: 0o755 });
    const env = { ...bed.env, APP: "built", DOKKU_HOST: "far", VERSION: "v7" };
    await execa({ env })`${join(examples, "dokku/build-there.sh")} ${folder}`;
    expect(readFileSync(calls, "utf8")).toBe("git:from-image built dokku/built:v7\n");
    const { stdout } = await bed.far.docker("image", "inspect", "-f", "{{.Config.Cmd}}", "dokku/built:v7");
    expect(stdout).toBe("[/app]");
    await bed.far.docker("rmi", "dokku/built:v7");
  });
});
