import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AcceptAllPolicy } from "../../src/engine-push/accept-all-policy.ts";
import { buildImage } from "../testbed/build-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, rememberEngines, unchanged, why } from "./bed.ts";
import { openBoth } from "./registry-and-engine.ts";

let podman: Testbed;
beforeAll(async () => {
  if (!why) podman = await startTestbed({ near: { kind: "podman" } });
});
afterAll(async () => await podman?.[Symbol.asyncDispose]());

describe.skipIf(why)(`other clients of the embedded registry ${why ?? ""}`, () => {
  const CREDENTIALS = "REGISTRY_AUTH_FILE";
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "clients-"))));
  afterAll(async () => await rm(folder, { recursive: true }));

  /** Has an engine push an image to an embedded registry. Returns how a client reaches the registry. */
  async function serving(
    image: string,
  ): Promise<{ name: string; diffIds: string[]; env: Record<string, string> } & AsyncDisposable> {
    await buildImage(bed.near, image, [{ name: "served", bytes: 3_000_000 }]);
    const all = await openBoth(bed.near.host);
    const host = `127.0.0.1:${await all.registry.listen()}`;
    const name = `${host}/app:v1`;
    all.registry.openPushSession("app", new AcceptAllPolicy("app"));
    all.registry.openPushSession("copy", new AcceptAllPolicy("copy"));
    await all.engine.tagImage(image, name);
    await all.engine.pushImage(name, { credentials: all.registry.credentials });
    await all.engine.removeReference(name);
    const { username, password } = all.registry.credentials;
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    const file = join(folder, `${image.replace(":", "-")}.json`);
    await writeFile(file, JSON.stringify({ auths: { [host]: { auth } } }));
    const diffIds = (await all.engine.inspectImage(image))?.diffIds ?? [];
    return {
      name,
      diffIds,
      env: { ...podman.near.env, [CREDENTIALS]: file },
      [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
    };
  }

  test("skopeo inspects an image, copies it out and in, and between repositories", async () => {
    await using served = await serving("skopeo:v1");
    const skopeo = async (command: string, ...args: string[]): Promise<string> =>
      (await podman.near.skopeo(command, `--authfile=${served.env[CREDENTIALS]}`, ...args)).stdout;
    const at = `docker://${served.name}`;
    const inspected = JSON.parse(await skopeo("inspect", "--tls-verify=false", at)) as {
      RepoTags: string[];
      Layers: string[];
    };
    expect(inspected).toMatchObject({
      RepoTags: ["v1"],
      Layers: served.diffIds.map(() => expect.stringMatching(/^sha256:/)),
    });
    const configAt = async (location: string): Promise<{ rootfs: { diff_ids: string[] } }> =>
      JSON.parse(await skopeo("inspect", "--config", "--tls-verify=false", location));
    expect((await configAt(at)).rootfs.diff_ids).toEqual(served.diffIds);

    const layout = join(folder, "layout");
    await skopeo("copy", "--src-tls-verify=false", at, `oci:${layout}:v1`);
    expect(await readdir(layout)).toContain("index.json");
    for (const [source, tag] of [
      [`oci:${layout}:v1`, "from-layout"],
      [at, "from-app"],
    ]) {
      const copy = at.replace("/app:v1", `/copy:${tag}`);
      await skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", source ?? "", copy);
      expect((await configAt(copy)).rootfs.diff_ids).toEqual(served.diffIds);
    }
    await expect(skopeo("inspect", "--tls-verify=false", "--no-creds", at)).rejects.toThrow(
      /unauthorized|authentication required/,
    );
  });

  test("podman pulls and pushes", async () => {
    await using served = await serving("podman:v1");
    const changes = await rememberEngines(podman.near);
    const ask = async (...args: string[]): Promise<string> => (await execa("podman", args, { env: served.env })).stdout;
    const copy = served.name.replace("/app:v1", "/copy:v1");
    const diffIds = async (name: string): Promise<unknown> =>
      JSON.parse(await ask("image", "inspect", "--format", "{{json .RootFS.Layers}}", name));
    await ask("pull", "--tls-verify=false", served.name);
    expect(await diffIds(served.name)).toEqual(served.diffIds);
    await ask("push", "--tls-verify=false", served.name, copy);
    await ask("rmi", served.name);
    await ask("pull", "--tls-verify=false", copy);
    expect(await diffIds(copy)).toEqual(served.diffIds);
    expect(await ask("run", "--rm", copy)).toBe("podman v1");
    await ask("rmi", copy);
    expect(await changes()).toEqual(unchanged(1));
  });
});
