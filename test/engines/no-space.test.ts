import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { registryImage } from "../testbed/registry-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, dos, rememberEngines, staysInCache, unchanged, why } from "./bed.ts";

const MB = 1_000_000;
let small: Testbed;

beforeAll(async () => {
  if (why) return;
  small = await startTestbed({ near: { diskMB: 250 }, far: { diskMB: 150, kind: "26.1" } });
  for (const engine of [small.near, small.far]) await registryImage(engine);
  await buildImage(small.near, "large:v1", [{ name: "data", bytes: 50 * MB }]);
  await buildImage(small.near, "medium:v1", [{ name: "data", bytes: 20 * MB }]);
  // The near engine has space for a copy of the medium image, but not of the large one. The far engine has space for neither.
  await leaveSpace(small.near, 35);
  await leaveSpace(small.far, 10);
});

/** Fills an engine's disk until `left` MiB are free. */
async function leaveSpace(engine: Engine, left: number): Promise<void> {
  const script = `free=$(df -m /fill | tail -1 | awk '{print $4}'); dd if=/dev/zero of=/fill/it bs=1M count=$((free - ${left}))`;
  const container = ["run", "--rm", "--volume", "fill:/fill", "--entrypoint", "/bin/busybox", "registry:2"];
  await engine.docker(...container, "sh", "-c", script);
}

/** Creates an `ssh` that knows the hosts of the shared test bed, and the far machine of the small one as `small`. Returns the environment with it. */
function withBothBeds(folder: string): Record<string, string> {
  const { machines } = small.description;
  if ("why" in machines) throw new Error(machines.why);
  const ssh = join(small.folder, "ssh");
  const config = `Host small
  HostName ${machines.wire.farAddress}
  IdentityFile ${join(ssh, "user-key")}
  UserKnownHostsFile ${join(ssh, "known-hosts")}
Host *
Include ${bed.sshConfig}
`;
  writeFileSync(join(folder, "config"), config);
  const script = `#!/bin/sh\nexec ${join(bed.bin, "ssh")} -F ${join(folder, "config")} "$@"\n`;
  writeFileSync(join(folder, "ssh"), script, { mode: 0o755 });
  return { PATH: `${folder}:${bed.env["PATH"]}`, XDG_CACHE_HOME: join(folder, "cache") };
}

afterAll(async () => await small?.[Symbol.asyncDispose]());

describe.skipIf(why)(`a full disk ${why ?? ""}`, () => {
  test.each([
    [
      "on the side of the temporary registry",
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

  test("on one of several hosts, while layers arrive: the other hosts get the image, and nothing is left on this host", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dos-no-space-"));
    const image = "fits-once:v1"; // the engine of `small` has space for the archive, but not for the unpacked layer
    try {
      await buildImage(bed.near, image, [{ name: "fits-once", bytes: 8 * MB }]);
      const env = withBothBeds(folder);
      const changes = await rememberEngines(small.far);
      const run = await dos(["push", image, "ssh://small", "ssh://far"], { env });
      expect(run).toMatchObject({ exitCode: 11 });
      expect(run.stderr).not.toContain("Nothing was sent"); // it is not rejected before the transfer
      expect(run.stderr).toMatch(/^ssh:\/\/small +failed: no-space$/m);
      expect(run.stderr).toMatch(/^ssh:\/\/far +done /m);
      expect(run.stderr).toContain("1 of 2 hosts have failed");
      expect((await bed.far.listing()).references).toContain(image);
      expect(await changes()).toEqual(unchanged(1));
      const cache = join(folder, "cache/docker-over-ssh");
      const left = existsSync(cache) ? readdirSync(cache, { recursive: true, encoding: "utf8" }) : [];
      expect(left.filter((path) => !staysInCache(path))).toEqual([]);
    } finally {
      for (const engine of [bed.near, bed.far]) await engine.docker("rmi", "--force", image).catch(() => {});
      rmSync(folder, { recursive: true });
    }
  });
});
