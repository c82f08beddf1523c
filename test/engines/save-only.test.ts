import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SAVE_ONLY, startEngineProxy, type EngineProxy } from "../fixtures/engine-proxy.ts";
import { caseImages } from "../matrix/case-image.ts";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { whyNotKind } from "../testbed/engine-packages.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { configFor } from "../unit/image/make-image.ts";
import { writeTar } from "../unit/command-line/images.ts";
import { done, dos, rememberEngines, unchanged, why, type Run } from "./bed.ts";
import { asTest, attestedLayout } from "./layouts.ts";

const whyNo29 = why ?? (await whyNotKind("29-containerd"));

/** This machine's platform and a foreign one. */
const [RUNS, OTHER] = process.arch === "arm64" ? (["arm64", "amd64"] as const) : (["amd64", "arm64"] as const);
const libraries: LayerSpec = { name: "libraries", bytes: 3_000_000, files: 30 };

describe.each([
  ["28.5-containerd", why],
  ["29-containerd", whyNo29],
] as const)("an engine behind a proxy that blocks every export but `docker save`", (kind, whyNot) => {
  describe.skipIf(whyNot)(`an engine of the kind ${kind} ${whyNot ?? ""}`, () => {
    let pair: Testbed;
    let proxy: EngineProxy;

    beforeAll(async () => {
      if (whyNot) return;
      pair = await startTestbed({ near: { kind } });
      const [engine, listen] = ["docker.sock", "proxy.sock"].map((name) => join(pair.folder, "near", name));
      proxy = await startEngineProxy({ engine: engine ?? "", listen: listen ?? "", rules: SAVE_ONLY });
    });
    afterAll(async () => {
      await proxy?.[Symbol.asyncDispose]();
      await pair?.[Symbol.asyncDispose]();
    });

    async function push(image: string): Promise<Run> {
      const changes = await rememberEngines(pair.near);
      const pull = ["ssh", "far", "docker-over-ssh", "pull", image];
      const run = await dos(["push", "--verbose", "-H", proxy.host, image, ...pull], { on: pair });
      expect(run).toEqual(done);
      expect(run.stderr).toContain("reading `docker save` for the wanted layers");
      expect(proxy.requests).toContain(`GET /images/${image}/get`);
      expect(await changes()).toEqual(unchanged(1));
      const cache = join(pair.env["HOME"] ?? "", ".cache/docker-over-ssh");
      expect(existsSync(cache) ? readdirSync(cache).filter((name) => name.startsWith("spool-")) : []).toEqual([]);
      return run;
    }

    test("an image arrives and runs; a second version sends only missing layers", async () => {
      await buildImage(pair.near, "saved:v1", [libraries]);
      await push("saved:v1");
      expect((await pair.far.docker("run", "--rm", "saved:v1")).stdout).toBe("saved v1");
      await buildImage(pair.near, "saved:v2", [libraries]);
      const wire = await pair.countWire();
      const run = await push("saved:v2");
      expect(run.stderr).toContain("offering 1 of 3 layers");
      expect((await wire()).toFar).toBeLessThan(64_000);
      expect((await pair.far.docker("run", "--rm", "saved:v2")).stdout).toBe("saved v2");
    });

    test("sends the receiver's variant of an index with attestations", async () => {
      const { v1, v2, prints } = await caseImages("saved-index");
      const { layers } = asTest(v1);
      const other = { layers, ...configFor(layers, { architecture: OTHER }) };
      const file = join(pair.folder, "index.tar");
      await writeTar(file, attestedLayout({ [`linux/${OTHER}`]: other, [`linux/${RUNS}`]: asTest(v2) }, v2.name));
      await pair.near.docker("load", "--input", file);
      await push(v2.name);
      expect((await pair.far.docker("run", "--rm", v2.name)).stdout).toBe(prints);
    });
  });
});
