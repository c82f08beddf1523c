import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { PROGRAMS, startLoginHost } from "../testbed/login-host.ts";
import { NODE_IMAGE, nodeImage } from "../testbed/node-image.ts";
import { registryImage } from "../testbed/registry-image.ts";
import { fileEntry, tar } from "../testbed/tar.ts";
import { until } from "../testbed/wait.ts";
import { bed, done, rememberEngines, why } from "./bed.ts";
import { BUNDLE_SENT, ENGINE_ALONE, found, skipped, RemoteUsers, userWith, VOLUME } from "./remote-users.ts";

/** No registry listens on this address, so pulls fail at once. */
const REGISTRY = "127.0.0.1:1";
const IMAGE = "passed-over:v1";
const NO_NODE = `${REGISTRY}/passed-over-without-node:v1`;
const OTHER_PLATFORM = `${REGISTRY}/passed-over-s390x:v1`;
const NOWHERE = `${REGISTRY}/passed-over-nowhere:v1`;

const node = `${PROGRAMS.node}/node`;
const script = (text: string): string => `#!/bin/sh\n${text}\n`;

/** An engine that mounts no socket. */
const refusing = script(
  `[ "$1" = run ] && { echo "docker: permission denied" >&2; exit 125; }\nexec ${PROGRAMS.docker}/docker "$@"`,
);

/** An engine whose containers run as a user who may not use the socket, as with user namespaces. */
const keptOut = script(
  `for word; do shift; [ "$word" = 0:0 ] && word=65534:65534; set -- "$@" "$word"; done; exec ${PROGRAMS.docker}/docker "$@"`,
);

/** Changes the first byte that reaches Node. */
const damaging = `
const { spawn } = require("node:child_process");
const child = spawn(process.execPath, process.argv.slice(2), { stdio: ["pipe", "inherit", "inherit"] });
process.stdin.once("data", (data) => {
  data[0] ^= 255;
  child.stdin.write(data);
  process.stdin.pipe(child.stdin);
});
child.on("exit", (status) => process.exit(status));
`;

/** A docker-over-ssh that sends a hello of another protocol, waits for the answer, and exits with the status for an unknown protocol. */
const otherProtocol = script(
  `printf "#docker-over-ssh#tunnel#\\n{\\"protocol\\":99,\\"tool\\":\\"9.9.9\\",\\"role\\":\\"receiver\\",\\"features\\":[]}\\n"
read -r magic; read -r hello
echo "docker-over-ssh: the other side speaks another protocol" >&2
exit 8`,
);

/** A docker-over-ssh with another version. */
const otherVersion = `
const { spawn } = require("node:child_process");
const [program, ...first] = "${PROGRAMS["docker-over-ssh"]}".split(" ");
const child = spawn(program, [...first, ...process.argv.slice(2)], { stdio: ["inherit", "pipe", "inherit"] });
child.stdout.once("data", (data) => {
  process.stdout.write(data.toString().replace(/"tool":"[^"]*"/, '"tool":"0.0.9"'));
  child.stdout.pipe(process.stdout);
});
child.on("exit", (status) => (process.exitCode = status));
`;

const users = [
  userWith("docker", ["docker"]),
  userWith("refused", [], { files: { ".local/bin/docker": refusing } }),
  userWith("kept-out", [], { files: { ".local/bin/docker": keptOut } }),
  userWith("damaged", ["docker"], {
    files: { ".local/bin/node": script(`exec ${node} ~/damage.js "$@"`), "damage.js": damaging },
  }),
  userWith("protocol", ["docker", "node"], { files: { ".local/bin/docker-over-ssh": otherProtocol } }),
  userWith("version", ["docker"], {
    files: { ".local/bin/docker-over-ssh": script(`exec ${node} ~/version.js "$@"`), "version.js": otherVersion },
  }),
  userWith("broken-node", ["docker"], { files: { ".local/bin/node": script("exit 127") } }),
];

let on: RemoteUsers;
let changes: () => Promise<unknown>;

beforeAll(async () => {
  if (why) return;
  on = new RemoteUsers(bed, await startLoginHost(bed, users));
  for (const engine of [bed.near, bed.far]) await nodeImage(engine);
  await buildImage(bed.near, IMAGE, [{ name: "passed-over", bytes: 100_000 }]);
  await buildImage(bed.far, NO_NODE);
  await bed.far.dockerWithInput(otherPlatform(), ["load"]);
});

/** Returns an archive with an empty image for another platform. */
function otherPlatform(): Iterable<Uint8Array> {
  const layer = Buffer.concat([...tar([])]);
  const digest = createHash("sha256").update(layer).digest("hex");
  const config = { architecture: "s390x", os: "linux", rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] } };
  return tar([
    fileEntry("layer.tar", layer),
    fileEntry("config.json", JSON.stringify(config)),
    fileEntry(
      "manifest.json",
      JSON.stringify([{ Config: "config.json", RepoTags: [OTHER_PLATFORM], Layers: ["layer.tar"] }]),
    ),
  ]);
}

afterAll(async () => {
  if (why) return;
  await on?.clean("passed-over", `${REGISTRY}/passed-over`);
  await on?.host[Symbol.asyncDispose]();
});

beforeEach(async () => {
  if (!why) changes = await rememberEngines(bed.far, bed.near);
});

/** The image has arrived, and nothing else has changed. */
afterEach(async () => {
  if (why) return;
  const [there, here] = (await changes()) as { came: string[] }[];
  expect([there?.came.filter((name) => name !== VOLUME), here?.came]).toEqual([[IMAGE], []]);
  expect((await bed.far.docker("run", "--rm", IMAGE)).stdout).toBe("passed-over v1");
  await bed.far.docker("rmi", IMAGE);
});

/** Returns the programs that are skipped, with the reasons, from the output of --verbose. */
function reasons(stderr: string): string[] {
  const lines = stderr.matchAll(/remote side: (\S+) cannot be used: (.*)$/gm);
  return Array.from(lines, ([, program, reason]) => `${program}: ${reason}`);
}

describe.skipIf(why)(`passes a container over, and prints one line, if ${why ?? ""}`, () => {
  test.each([
    ["the image is for another platform", "docker", OTHER_PLATFORM, "no image"],
    ["the image has no Node", "docker", NO_NODE, "status 127"],
    ["neither side has the image", "docker", NOWHERE, "no image"],
    ["the engine mounts no socket", "refused", NODE_IMAGE, "status 125"],
    ["the container may not use the socket", "kept-out", NODE_IMAGE, "EACCES at the engine's socket"],
  ])("%s", async (_, user, image, reason) => {
    const { run } = await on.transfer("push", { user, options: ["--far-image", image] }, IMAGE);
    expect(run).toEqual(done);
    expect(reasons(run.stderr)).toEqual(["installed: not found", "node: not found", `container: ${reason}`]);
    expect(run.stderr).toContain(ENGINE_ALONE);
  });

  test("sends the container image first if only this side has it", async () => {
    await bed.far.docker("rmi", NODE_IMAGE);
    const { run, sent } = await on.transfer("push", { user: "docker", options: ["--far-image", NODE_IMAGE] }, IMAGE);
    expect(run).toEqual(done);
    expect(run.stderr).toContain(`pushed ${NODE_IMAGE}`);
    expect(run.stderr).toContain(found("docker", ", sent into a container"));
    expect(sent).toBeGreaterThan(20_000_000);
  });
});

describe.skipIf(why)("an image with Node in a registry", () => {
  test("is pulled by the host once, and a line announces it", async () => {
    const { far } = bed;
    const name = "127.0.0.1:5017/passed-over-node:v1";
    await registryImage(far, "passed-over-registry:v1");
    const options = ["--detach", "--network", "host", "--env", "REGISTRY_HTTP_ADDR=127.0.0.1:5017"];
    const { stdout: id } = await far.docker("run", ...options, "passed-over-registry:v1");
    try {
      await nodeImage(far);
      await far.docker("tag", NODE_IMAGE, name);
      const push = async (): Promise<boolean> =>
        await far.docker("push", name).then(
          () => true,
          () => false,
        );
      await until("the registry takes the image", push);
      await far.docker("rmi", name);
      const choice = { user: "docker", options: ["--far-image", name] };
      const first = await on.transfer("push", choice, IMAGE);
      expect(first.run).toEqual(done);
      expect(first.run.stderr).toMatch(/pull.*127\.0\.0\.1:5017\/passed-over-node:v1/);
      expect(first.run.stderr).toContain(found("docker", ", sent into a container"));
      const second = await on.transfer("push", choice, IMAGE);
      expect(second.run).toEqual(done);
      expect(second.run.stderr).not.toContain("pull");
    } finally {
      await far.docker("rm", "--force", "--volumes", id);
      await far.docker("rmi", "--force", name, "passed-over-registry:v1");
    }
  });
});

describe.skipIf(why)("docker-over-ssh or Node on the host is unsuitable:", () => {
  const image = ["--far-image", NOWHERE];

  test("does not run a bundle that arrives damaged", async () => {
    const { run } = await on.transfer("push", { user: "damaged", options: image }, IMAGE);
    expect(run).toEqual(done);
    expect(run.stderr).toContain(skipped("node", "the bundle that arrived is damaged"));
    expect(run.stderr).toContain(ENGINE_ALONE);
    expect(await on.cached("damaged")).toEqual([]);
  });

  test("skips a Node that cannot start", async () => {
    const { run } = await on.transfer("push", { user: "broken-node", options: image }, IMAGE);
    expect(run).toEqual(done);
    expect(reasons(run.stderr)).toEqual(["installed: not found", "node: status 127", "container: no image"]);
  });

  test("sends the bundle instead of using another protocol", async () => {
    const { run } = await on.transfer("push", { user: "protocol", options: image }, IMAGE);
    expect(run).toEqual(done);
    expect(reasons(run.stderr)).toEqual(["installed: status 8"]);
    expect(run.stderr).toContain(BUNDLE_SENT);
    expect(run.stderr).toContain(found("protocol", ", sent to the Node there"));
    expect(run.stderr).not.toMatch(/^remote: /m);
  });

  test("uses another version that speaks this protocol", async () => {
    const { run } = await on.transfer("push", { user: "version", options: image }, IMAGE);
    expect(run).toEqual(done);
    expect(reasons(run.stderr)).toEqual([]);
    expect(run.stderr).toContain("the remote side is docker-over-ssh 0.0.9");
  });
});
