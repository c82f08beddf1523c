import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { startLoginHost } from "../testbed/login-host.ts";
import { NODE_IMAGE, nodeImage } from "../testbed/node-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { until } from "../testbed/wait.ts";
import { bed, done, rememberEngines, why } from "./bed.ts";
import {
  BUNDLE_SENT,
  byContainer,
  byNode,
  ENGINE_ALONE,
  found,
  skipped,
  RemoteUsers,
  userWith,
  VOLUME,
  type RemoteChoice,
} from "./remote-users.ts";

const MB = 1_000_000;
/** The bytes are random, so that they do not compress. */
const packages: LayerSpec = { name: "packages", bytes: 6 * MB, files: 400, seed: "remote-programs" };
/** The bytes of a run that sends neither the bundle nor layers: the login, the script, handshakes. */
const OVERHEAD = 64_000;
/** A lower bound of the bundle's size. */
const BUNDLE = 150_000;

const users = [
  userWith("nobody-has-run", ["docker", "node"]),
  userWith("only-docker", ["docker"]),
  userWith("has-all", ["docker", "node", "docker-over-ssh"]),
  userWith("has-none", []),
  userWith("sent", ["docker"]),
  userWith("killed", ["docker", "node"]),
];

let containerd: Testbed | undefined;
let classic: RemoteUsers;
let other: RemoteUsers;

beforeAll(async () => {
  if (why) return;
  containerd = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: "28.5-containerd" } });
  classic = new RemoteUsers(bed, await startLoginHost(bed, users));
  other = new RemoteUsers(containerd, await startLoginHost(containerd, users));
  for (const on of [bed, containerd]) {
    await nodeImage(on.far);
    await buildImage(on.near, "programs:v1", [packages]);
    await buildImage(on.near, "programs:v2", [{ ...packages, changedFiles: 10 }]);
    await buildImage(on.far, "programs-there:v1", [{ name: "programs-there", bytes: 100_000 }]);
  }
});

afterAll(async () => {
  if (why) return;
  await classic?.clean("programs");
  await classic?.host[Symbol.asyncDispose]();
  await other?.host[Symbol.asyncDispose]();
  await containerd?.[Symbol.asyncDispose]();
});

describe.skipIf(why).each([
  ["graph drivers", () => classic],
  ["containerd stores", () => other],
])(`sends docker-over-ssh to the host, engines with %s ${why ?? ""}`, (_, on) => {
  test.each<[string, RemoteChoice, string, string[]]>([
    ["node", byNode("nobody-has-run"), ", sent to the Node there", []],
    ["container", byContainer("only-docker"), ", sent into a container", [VOLUME]],
  ])(
    "%s: once; a changed layer costs a fraction of its size; a pull uses the same program",
    async (name, choice, how, left) => {
      const { far, near } = on().bed;
      const as = (tag: string): string[] => ["--as", `programs-${name}:${tag}`];
      const changes = await rememberEngines(far, near);

      const first = await on().transfer("push", choice, ...as("v1"), "programs:v1");
      expect(first.run).toEqual(done);
      expect(first.run.stderr).toContain(found(choice.user, how));
      expect(first.run.stderr).toContain(BUNDLE_SENT);

      const second = await on().transfer("push", choice, ...as("again"), "programs:v1");
      expect(second.run).toEqual(done);
      expect(second.run.stderr).not.toContain(BUNDLE_SENT);
      expect(second.sent).toBeLessThan(OVERHEAD);
      await far.docker("rmi", `programs-${name}:again`);

      const delta = await on().transfer("push", choice, "--delta", "always", ...as("v2"), "programs:v2");
      expect(delta.run).toEqual(done);
      expect(delta.sent).toBeLessThan((10 / 400) * packages.bytes + OVERHEAD);
      expect((await far.docker("run", "--rm", `programs-${name}:v2`)).stdout).toBe("programs v2");

      const pull = await on().transfer("pull", choice, ...as("there"), "programs-there:v1");
      expect(pull.run).toEqual(done);
      expect(pull.run.stderr).toContain(found(choice.user, how));
      expect(pull.sent).toBeLessThan(OVERHEAD);
      expect((await near.docker("run", "--rm", `programs-${name}:there`)).stdout).toBe("programs-there v1");

      await on().untilEnded(choice.user);
      const [there, here] = (await changes()) as { came: string[]; went: string[] }[];
      const others = (names: string[] = []): string[] => names.filter((one) => !one.startsWith("programs-"));
      expect([others(there?.came), others(there?.went), others(here?.came), others(here?.went)]).toEqual([
        left,
        [],
        [],
        [],
      ]);
      for (const tag of ["v1", "v2"]) await far.docker("rmi", `programs-${name}:${tag}`);
    },
  );

  test("node: the first push sends the bundle and caches it for this user alone", async () => {
    const choice = byNode("has-all");
    const first = await on().transfer("push", choice, "programs:v1");
    const second = await on().transfer("push", choice, "programs:v1");
    expect([first.run, second.run]).toEqual([done, done]);
    expect(await on().cached("has-all")).toEqual([
      expect.stringMatching(/^-rw------- has-all bundle-[0-9a-f]{64}\.cjs$/),
    ]);
    expect(second.sent).toBeLessThan(OVERHEAD);
    expect(first.sent - second.sent).toBeGreaterThan(BUNDLE);
  });
});

describe.skipIf(why)("--far node-sent sends Node", () => {
  test("once, and Node runs docker-over-ssh on the host; a later push sends neither", async () => {
    const choice = { user: "sent", options: ["--far", "node-sent"] };
    const first = await classic.transfer("push", choice, "programs:v1");
    expect(first.run).toEqual(done);
    expect(first.run.stderr).toContain(found("sent", ", sent with Node"));
    expect(first.sent).toBeGreaterThan(20 * MB);
    const second = await classic.transfer("push", choice, "programs:v1");
    expect(second.run).toEqual(done);
    expect(second.sent).toBeLessThan(OVERHEAD);
    const files = await classic.run("cd /home/sent/.cache/docker-over-ssh && stat -c '%a %U %n' node-* bundle-*");
    expect(files).toMatch(/^700 sent node-[0-9a-f]{64}\n600 sent bundle-[0-9a-f]{64}\.cjs$/);
  });
});

describe.skipIf(why)("--far selects one program:", () => {
  const image = ["--far-image", NODE_IMAGE];
  test.each<[string, string[], string]>([
    ["installed", [], found("has-all", "")],
    ["node", [], found("has-all", ", sent to the Node there")],
    ["container", image, found("has-all", ", sent into a container")],
    ["engine", [], ENGINE_ALONE],
    ["auto", image, found("has-all", "")],
  ])("%s, where all are installed", async (program, more, line) => {
    const { run } = await classic.transfer(
      "push",
      { user: "has-all", options: ["--far", program, ...more] },
      "programs:v1",
    );
    expect(run).toEqual(done);
    expect(run.stderr).toContain(line);
    expect(run.stderr).not.toContain("cannot be used");
  });

  test.each([
    ["installed", "no program on ssh://has-none@login can run the remote side: installed: not found"],
    ["node", "no program on ssh://has-none@login can run the remote side: node: not found"],
    ["container", "no program on ssh://has-none@login can run the remote side: container: docker not found"],
    ["engine", "neither docker nor podman is installed on ssh://has-none@login"],
    ["auto", "neither docker-over-ssh nor docker nor podman is installed on ssh://has-none@login"],
  ])("%s fails if it is missing", async (program, message) => {
    const { run } = await classic.transfer("push", { user: "has-none", options: ["--far", program] }, "programs:v1");
    expect(run).toMatchObject({ exitCode: 5, stdout: "" });
    expect(run.stderr).toContain(`docker-over-ssh: ${message}\n`);
    expect(run.stderr).toMatch(/^ {2}expected: .+\n {2}to do: {4}.+/m);
  });

  test("auto uses the Node of the host, or else a container, and names the programs that it skips", async () => {
    const options = image;
    const node = await classic.transfer("push", { user: "killed", options }, "programs:v1");
    expect(node.run).toEqual(done);
    expect(node.run.stderr).toContain(skipped("installed", "not found"));
    expect(node.run.stderr).toContain(found("killed", ", sent to the Node there"));
    const container = await classic.transfer("push", { user: "only-docker", options }, "programs:v1");
    expect(container.run).toEqual(done);
    expect(container.run.stderr).toContain(skipped("node", "not found"));
    expect(container.run.stderr).toContain(found("only-docker", ", sent into a container"));
  });
});

describe.skipIf(why)("after a SIGKILL, sends only the rest of a layer, and leaves nothing behind:", () => {
  const SIZE = 30 * MB;
  const KILLED_AT = 15 * MB;
  /** Bytes that may be sent again. */
  const LOSS = 8 * MB;
  const IMAGE = "programs-large:v1";
  let changes: () => Promise<unknown>;

  beforeAll(async () => {
    if (why) return;
    await buildImage(bed.near, IMAGE, [{ name: "programs-large", bytes: SIZE }]);
  });
  beforeEach(async () => {
    if (!why) changes = await rememberEngines(bed.far, bed.near);
  });
  afterEach(async () => {
    if (!why) await bed.limitRate(undefined);
  });

  const inHost = (pattern: string) => async (): Promise<unknown> =>
    await classic.run(`pkill -KILL -u killed -f "^/[^ ]*${pattern}"`);
  /** Kills the container. Its stdout is the tunnel, and the engine stores no log of it. */
  const inEngine = async (): Promise<unknown> => {
    const { stdout: id } = await bed.far.docker("ps", "--quiet", "--filter", "label=docker-over-ssh.remote");
    const { stdout: driver } = await bed.far.docker("inspect", "--format", "{{.HostConfig.LogConfig.Type}}", id);
    expect(driver).toBe("none");
    return await bed.far.docker("kill", "--signal", "KILL", id);
  };
  const ofInitiator = undefined;

  test.each<[string, RemoteChoice, (() => Promise<unknown>) | undefined]>([
    ["of the initiator, by node", byNode("killed"), ofInitiator],
    ["of the remote side, by node", byNode("killed"), inHost("node -e")],
    ["of the initiator, by container", byContainer("killed"), ofInitiator],
    ["of the remote side, by container", byContainer("killed"), inEngine],
    ["of the docker CLI there", byContainer("killed"), inHost("docker run")],
  ])("%s", async (_, choice, kill) => {
    await bed.limitRate(40);
    const wire = await bed.countWire();
    const run = classic.start(choice, "--no-delta", IMAGE);
    await until("half of the layer is sent", async () => (await wire()).toFar > KILLED_AT || run.exitCode !== null);
    if (kill) await kill();
    else run.kill("SIGKILL");
    expect(await run).not.toMatchObject({ exitCode: 0 });
    await classic.untilEnded(choice.user);
    await bed.limitRate(undefined);
    const { run: next, sent } = await classic.transfer("push", choice, "--no-delta", IMAGE);
    expect(next).toEqual(done);
    expect(sent).toBeLessThan(SIZE - KILLED_AT + LOSS);
    await classic.untilEnded(choice.user);
    expect((await bed.far.docker("run", "--rm", IMAGE)).stdout).toBe("programs-large v1");
    await bed.far.docker("rmi", IMAGE);
    const [there, here] = (await changes()) as { came: string[]; went: string[] }[];
    expect([there?.came.filter((name) => name !== VOLUME), here?.came]).toEqual([[], []]);
    expect((await classic.cached("killed")).filter((name) => name.endsWith("kept"))).toEqual([]);
  });
});
