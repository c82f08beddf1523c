import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectEngine } from "../../src/engine/open/connect-engine.ts";
import { parseHost } from "../../src/engine/connect/endpoint.ts";
import { digestOf } from "../../src/image/digest.ts";
import { buildImage } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import { fileEntry, tar } from "../testbed/tar.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";

/** Images built on a classic store, which knows no compressed digests of their layers, and whose `docker save` first copies the whole image. */

let later: Testbed;
beforeAll(async () => {
  if (why) return;
  later = await startTestbed({ near: { kind: "28.5" }, far: { kind: "26.1" } });
});
afterAll(async () => await later?.[Symbol.asyncDispose]());

const MB = 1_000_000;
const signal = new AbortController().signal;

/** Builds an empty layer, and more small layers than an engine uploads at once, on a much larger base. */
async function build(engine: Engine, image: string, base: string, content: string): Promise<void> {
  const steps = Array.from({ length: 7 }, (_, at) => `ADD ${at} /steps/`);
  const dockerfile = [`FROM ${base}`, "WORKDIR /steps", "ENV STEPS=7", ...steps, 'CMD ["cat", "/steps/6"]'].join("\n");
  const files = steps.map((_, at) => fileEntry(`${at}`, at === 6 ? content : `${content} ${at}`));
  const context = tar([fileEntry("Dockerfile", dockerfile), ...files]);
  await engine.dockerWithInput(context, ["build", "--quiet", "--tag", image, "-"], { DOCKER_BUILDKIT: "0" });
}

const SENDERS: [string, () => [Testbed, Engine, Engine]][] = [
  ["the machine's own Docker", () => [bed, bed.near, bed.far]],
  ["28.5", () => [later, later.near, later.far]],
  ["26.1", () => [later, later.far, later.near]],
];

describe.skipIf(why).each(SENDERS)(`%s ${why ?? ""}`, (version, engines) => {
  const name = `never-${version.replace(/\W+/g, "-").toLowerCase()}`;

  test("sends the few new layers without docker save, and leaves the sender's engine unchanged", async () => {
    const [on, from, to] = engines();
    await buildImage(from, `${name}:base`, [{ name: "libraries", bytes: 30 * MB, seed: name }]);
    await build(from, `${name}:v1`, `${name}:base`, "one");
    await build(from, `${name}:v2`, `${name}:base`, "two");
    const line = (tag: string): string[] => {
      const [verb, other] = from === on.near ? ["push", "pull"] : ["pull", "push"];
      return [verb, "--verbose", `${name}:${tag}`, "ssh", "far", `docker-over-ssh ${other} --verbose ${name}:${tag}`];
    };
    const changes = await rememberEngines(from);
    const first = await dos(line("v1"), { on });
    expect(first).toEqual(done);
    expect(first.stderr).toContain("reading `docker save`");
    const second = await dos(line("v2"), { on });
    expect(second).toEqual(done);
    expect(second.stderr).toContain("for 7 layers, 4 layers already present");
    expect(second.stderr).not.toContain("reading `docker save`");
    expect(second.stderr).not.toContain("did not push all");
    expect(await changes()).toEqual(unchanged(1));
    expect((await to.docker("run", "--rm", `${name}:v2`)).stdout).toBe("two");
    expect((await from.docker("run", "--rm", `${name}:v1`)).stdout).toBe("one");
  });

  test("sends an image with only a new label without a push", async () => {
    const [on, from, to] = engines();
    await buildImage(from, `${name}:plain`, [{ name: "plain", bytes: MB, seed: name }]);
    const context = tar([fileEntry("Dockerfile", `FROM ${name}:plain\nLABEL revision=2`)]);
    await from.dockerWithInput(context, ["build", "--quiet", "--tag", `${name}:labelled`, "-"], {
      DOCKER_BUILDKIT: "0",
    });
    const [verb, other] = from === on.near ? ["push", "pull"] : ["pull", "push"];
    for (const tag of ["plain", "labelled"]) {
      const far = ["ssh", "far", `docker-over-ssh ${other} --verbose ${name}:${tag}`];
      const run = await dos([verb, "--verbose", `${name}:${tag}`, ...far], { on });
      expect(run).toEqual(done);
      if (tag === "labelled") expect(run.stderr).not.toMatch(/docker save|did not push/);
    }
    const { stdout } = await to.docker("inspect", "--format", "{{.Config.Labels.revision}}", `${name}:labelled`);
    expect(stdout).toBe("2");
  });

  test("returns an image's config byte for byte from the builder, and no other image's config", async () => {
    const [, from] = engines();
    await buildImage(from, `${name}:config`);
    const changes = await rememberEngines(from);
    await using engine = await connectEngine(parseHost(from.host, "-H"), {});
    const info = await engine.inspectImage(`${name}:config`);
    const id = info?.id ?? "";
    const { version: running } = await engine.info();
    const config = await engine.readConfig({ name: `${name}:config`, id }, running, signal);
    expect(digestOf(config ?? "")).toBe(id);
    const { rootfs } = JSON.parse(String(config)) as { rootfs: { diff_ids: string[] } };
    expect(rootfs.diff_ids).toEqual(info?.diffIds);
    expect(
      await engine.readConfig({ name: `${name}:config`, id: digestOf("another") }, running, signal),
    ).toBeUndefined();
    // The builder looks up missing names in a registry.
    for (const other of [`${name}:none`, id.slice("sha256:".length, 19)])
      expect(await engine.readConfig({ name: other, id }, running, signal)).toBeUndefined();
    expect(await changes()).toEqual(unchanged(1));
    expect((await from.docker("run", "--rm", `${name}:config`)).stdout).toBe(`${name} config`);
  });
});
