import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BASE, importBase } from "../testbed/build-base.ts";
import { buildImage } from "../testbed/build-image.ts";
import { findProgram } from "../testbed/programs.ts";
import { bed, why } from "./bed.ts";

const ROOT = join(import.meta.dirname, "../..");
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const IMAGES = ["app:v2", "web:v2", "worker:v2"];

/** The beginnings of command lines that other test files run, with other names. */
const RUN_ELSEWHERE: Record<string, string> = {
  "npm run demo": "demo/demo.ts",
  "npm test": "scripts/test.js",
  "npm run setup && npm install": "test/unit/package.test.ts",
  "docker-over-ssh push app:v2 docker://dind": "test/engines/transfer.test.ts",
  "docker-over-ssh push app:v2 kubectl://": "test/engines/transfer.test.ts",
  "docker-over-ssh push --relay": "test/engines/relay.test.ts",
  "docker-over-ssh build -t registry.example.com/app:v2": "test/engines/build-registry.test.ts",
  'npm install --global "$(npm pack --silent)" "$(npm': "server/test/unit/package.test.ts",
  "docker-over-ssh serve": "server/test/engines/serve.test.ts",
  "docker-over-ssh publish": "server/test/engines/serve.test.ts",
  "docker-over-ssh guard": "server/test/engines/guard-local.test.ts",
  "DOCKER_HOST=unix:///tmp/docker.sock docker build": "server/test/engines/guard-local.test.ts",
};

/** Returns the commands of the section's shell examples, without their comments. */
function commandsOf(text: string): string[] {
  const blocks = Array.from(text.matchAll(/^```sh\n(.*?)^```/gms), ([, block = ""]) => block);
  return blocks.flatMap((block) => block.trim().split("\n")).map((line) => line.replace(/ +# .*$/, ""));
}

/** "Without an engine" is in locations.test.ts, which has the archives and layouts. */
const commands = commandsOf(README.replace(/^### Without an engine$.*?^#/ms, ""));
const elsewhere = (command: string): string | undefined =>
  Object.entries(RUN_ELSEWHERE).find(([start]) => command.startsWith(start))?.[1];

let folder: string;
let env: Record<string, string>;

/** compose is not installed. A wrapper around docker prints the project. */
async function dockerWithCompose(): Promise<string> {
  const services = { web: { image: "web:v2", build: "." }, worker: { image: "worker:v2", build: "." } };
  return `#!/bin/sh
case "$*" in
  "compose config --images") printf "%s\\n" web:v2 worker:v2 ;;
  compose*) echo '${JSON.stringify({ name: "project", services })}' ;;
  *) exec ${(await findProgram("docker")) ?? "docker"} "$@" ;;
esac
`;
}

/** All hosts of the examples are the far machine. */
function sshConfig(): string {
  const own = readFileSync(bed.sshConfig, "utf8");
  const [address = ""] = /(?<=HostName )\S+/.exec(own) ?? [];
  return `Host prod ci gateway a b c build factory\n  HostName ${address}\n\n${own}`;
}

beforeAll(async () => {
  if (why) return;
  folder = join(bed.folder, "readme");
  mkdirSync(join(folder, "bin"), { recursive: true });
  writeFileSync(join(folder, "config"), sshConfig());
  const ssh = `#!/bin/sh\nexec ${join(bed.bin, "ssh")} -F ${join(folder, "config")} "$@"\n`;
  writeFileSync(join(folder, "bin/ssh"), ssh, { mode: 0o755 });
  writeFileSync(join(folder, "bin/docker"), await dockerWithCompose(), { mode: 0o755 });
  mkdirSync(join(folder, "project"));
  writeFileSync(join(folder, "project/Dockerfile"), `FROM ${BASE}\nCOPY Dockerfile /\n`);
  writeFileSync(join(folder, "project/compose.yaml"), "");
  await execa("tar", ["-C", join(folder, "project"), "-czf", join(folder, "app.tar.gz"), "Dockerfile"]);
  await execa("mv", [join(folder, "app.tar.gz"), join(folder, "project")]);
  env = { ...bed.env, PATH: `${join(folder, "bin")}:${bed.env["PATH"]}`, HOME: join(folder, "home") };
  mkdirSync(env["HOME"] ?? "");
  await importBase(bed.far);
  for (const image of IMAGES) await buildImage(bed.near, image);
});

afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, bed.far]) {
    const ours = (await engine.listing()).references.filter((name) => /^(?:app|web|worker):/.test(name));
    if (ours.length > 0) await engine.docker("rmi", "--force", ...ours);
  }
  await rm(folder, { recursive: true });
});

describe.skipIf(why)(`the examples of the README can be typed ${why ?? ""}`, () => {
  test.each(commands.filter((command) => elsewhere(command) === undefined))("%s", async (command) => {
    // The second hop of the test bed has another name, and its machines have one user.
    const typed = command.replace(`gateway "ssh prod`, `gateway "ssh far-again`).replace("deploy@", "root@");
    const cwd = join(folder, "project");
    const { exitCode, stderr } = await execa("sh", ["-c", typed], { cwd, env, reject: false });
    expect({ typed, exitCode, stderr }).toEqual({ typed, exitCode: 0, stderr: expect.any(String) as string });
  });

  test("the images run where the examples have sent them", async () => {
    for (const image of IMAGES.slice(1)) {
      expect((await bed.far.docker("run", "--rm", image)).stdout).toBe(image.replace(":", " "));
    }
  });
});

test("each example is run", () => {
  for (const [start, file] of Object.entries(RUN_ELSEWHERE)) {
    expect(commands.filter((command) => command.startsWith(start))).not.toEqual([]);
    expect({ file, exists: existsSync(join(ROOT, file)) }).toEqual({ file, exists: true });
  }
  expect(commands.length).toBeGreaterThan(20);
});
