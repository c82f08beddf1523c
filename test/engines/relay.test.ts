import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { FIRST_HOST, HOST_OPTIONS, startRelayHosts } from "../testbed/relay-hosts.ts";
import { until } from "../testbed/wait.ts";
import { bed, done, dos, rememberEngines, startDos, unchanged, untilPrinted, why } from "./bed.ts";
import { containerd } from "./containerd-pair.ts";
import { RemoteUsers } from "./remote-users.ts";

const MB = 1_000_000;
/** The bytes are random, so that they do not compress. */
const SIZE = 6 * MB;
const layer: LayerSpec = { name: "relay", bytes: SIZE, files: 20 };
/** Other bytes of a run: busybox, the bundle, two logins with the script, handshakes, the acknowledged events of the relay, and network headers. */
const OVERHEAD = 3_000_000;

const HOSTS = [FIRST_HOST, "ssh://b", "ssh://c"];

let hosts: RemoteUsers;
let engines: { a: Engine; b: Engine; c: Engine };

beforeAll(async () => {
  if (why) return;
  engines = { a: bed.far, b: containerd.near, c: containerd.far };
  const silent = { name: "silent", forced: "exec cat" };
  hosts = new RemoteUsers(bed, await startRelayHosts(bed, { b: engines.b, c: engines.c }, [silent]));
  await buildImage(bed.near, "relay-v1:1", [layer]);
  await buildImage(bed.near, "relay-v2:1", [{ ...layer, seed: "v2" }]);
});

afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, ...Object.values(engines ?? {})]) {
    const ours = (await engine.listing()).references.filter((name) => name.startsWith("relay-"));
    if (ours.length > 0) await engine.docker("rmi", "--force", ...ours);
  }
  await hosts?.host[Symbol.asyncDispose]();
});

/** Pushes by relay. `sent`: bytes on the wire of the near machine. */
async function relay(...words: string[]): Promise<{ run: Awaited<ReturnType<typeof dos>>; sent: number }> {
  const wire = await bed.countWire();
  const run = await dos(["push", "--relay", ...HOST_OPTIONS, ...words], { env: hosts.host.env });
  return { run, sent: (await wire()).toFar };
}

const layersOn = async (engine: Engine, image: string): Promise<string> =>
  (await engine.docker("inspect", "--format", "{{json .RootFS.Layers}}", image)).stdout;

describe.skipIf(why)("push --relay", () => {
  test("several images cross the wire once, and reach all hosts, under names that only the first host knows", async () => {
    const images = ["relay-v1:1", "relay-v2:1"];
    const { run, sent } = await relay("--tag-also", "latest", "--run", 'echo "it is $USER"', ...images, ...HOSTS);
    expect(run).toEqual(done);
    expect(sent).toBeLessThan(2 * SIZE + OVERHEAD);
    const rows = run.stderr
      .split("\n")
      .flatMap((line) => /^(relay-v\d:1) +(\S+) +done /.exec(line)?.slice(1).join(" ") ?? []);
    expect(rows.toSorted()).toEqual(images.flatMap((image) => HOSTS.map((host) => `${image} ${host}`)).toSorted());
    for (const host of ["root@login", "b", "c"])
      expect(run.stderr).toContain(`remote ssh://${host}: it is ${host.replace("@login", "")}\n`);
    for (const engine of Object.values(engines))
      for (const image of ["relay-v1:1", "relay-v1:latest", "relay-v2:1"])
        expect(await layersOn(engine, image)).toBe(await layersOn(bed.near, image.replace("latest", "1")));
  });

  test("a host that fails does not stop the others; --json contains the events of all hosts", async () => {
    const { run } = await relay(
      "--json",
      "--as",
      "relay-v2:2",
      "relay-v2:1",
      "ssh://root@login",
      "ssh://none",
      "ssh://c",
    );
    expect(run).toMatchObject({ exitCode: 4 });
    const events = run.stdout
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Record<string, unknown>]));
    const last = events.filter(
      ({ type, transfer }) => (type === "result" || type === "error") && transfer !== undefined,
    );
    expect(last.map(({ type, image, name, code, transfer }) => ({ type, image, name, code, transfer }))).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          type: "result",
          name: "relay-v2:2",
          transfer: { image: "relay-v2:1", host: "ssh://root@login" },
        }),
        expect.objectContaining({
          type: "result",
          image: "relay-v2:1",
          name: "relay-v2:2",
          transfer: { image: "relay-v2:1", host: "ssh://c" },
        }),
        expect.objectContaining({
          type: "error",
          code: "engine-unreachable",
          transfer: { image: "relay-v2:1", host: "ssh://none" },
        }),
      ]),
    );
    expect(run.stderr).toContain(
      "ssh://root@login logs in to ssh://none with its own ssh, whose questions nobody can answer",
    );
    expect(run.stdout).toContain('"type":"remote","line":"ssh: Could not resolve hostname none');
    for (const engine of [engines.a, engines.c]) expect((await engine.listing()).references).toContain("relay-v2:2");
  });

  test("an image that does not reach the first host does not stop the others", async () => {
    const { run } = await relay("relay-absent:1", "relay-v1:1", ...HOSTS);
    expect(run).toMatchObject({ exitCode: 3 });
    for (const host of HOSTS) {
      expect(run.stderr).toMatch(new RegExp(`^relay-absent:1 +${host} +failed: image-not-found`, "m"));
      expect(run.stderr).toMatch(new RegExp(`^relay-v1:1 +${host} +done`, "m"));
    }
  });

  test("a dry run plans the transfer to the first host, and changes no host", async () => {
    const since = await rememberEngines(...Object.values(engines));
    const { run } = await relay("--dry-run", "--as", "relay-dry:1", "relay-v1:1", ...HOSTS);
    expect(run).toEqual(done);
    expect(run.stderr).toContain(
      "ssh://b: the missing layers are not known yet: login finds them when it has the images",
    );
    expect(await since()).toEqual(unchanged(3));
  });

  test("rejects a first host with an engine alone before anything is sent", async () => {
    const wire = await bed.countWire();
    const run = await dos(["push", "--relay", "--as", "relay-bare:1", "relay-v1:1", "ssh://bare", "ssh://b"]);
    expect(run).toMatchObject({ exitCode: 5 });
    expect(run.stderr).toContain("ssh://bare cannot pass the images on: ");
    expect((await wire()).toFar).toBeLessThan(100_000);
    expect((await engines.a.listing()).references).not.toContain("relay-bare:1");
  });

  test("Ctrl-C ends the relay, and its logins", async () => {
    const since = await rememberEngines(...Object.values(engines));
    const run = startDos(["push", "--relay", "--verbose", ...HOST_OPTIONS, "relay-v1:1", FIRST_HOST, "ssh://silent"], {
      env: hosts.host.env,
    });
    await untilPrinted(run, "login passes the images on to ssh://silent");
    await expect.poll(async () => await hosts.run("pgrep -u silent -x cat; :"), { timeout: 20_000 }).not.toBe("");
    run.kill("SIGINT");
    expect((await run).exitCode).toBe(130);
    await hosts.untilEnded("root");
    await expect.poll(async () => await hosts.run("pgrep -u silent -x cat; :"), { timeout: 20_000 }).toBe("");
    expect(await since()).toEqual(unchanged(3));
  });

  // This is the last test, because it removes the key from the first host.
  test("the first host logs in with the agent that the user forwards, and not without", async () => {
    await hosts.run(
      `sed -i "/^Match all/,\\$d" ~/.ssh/config && printf "Host *\\n  StrictHostKeyChecking no\\n" >>~/.ssh/config`,
    );
    const folder = dirname(bed.sshConfig);
    const socket = join(folder, "agent");
    const agent = execa({ reject: false })`ssh-agent -D -a ${socket}`;
    try {
      await until("the agent listens", () => existsSync(socket));
      await execa({ env: { SSH_AUTH_SOCK: socket } })`ssh-add -q ${join(folder, "user-key")}`;
      const words = ["relay-v1:1", FIRST_HOST, "ssh://b"];
      const without = await relay(...words);
      expect(without.run).toMatchObject({ exitCode: 4 });
      expect(without.run.stderr).toContain(
        "ssh://root@login logs in to ssh://b with its own ssh, whose questions nobody can answer",
      );
      expect((await relay("--ssh", `ssh -A -o IdentityAgent=${socket}`, ...words)).run).toEqual(done);
    } finally {
      agent.kill();
      await agent;
    }
  });
});
