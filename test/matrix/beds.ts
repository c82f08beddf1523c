import type { EngineKind } from "../testbed/engine-packages.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { startRegistry, type Registry } from "./registry.ts";

/** An engine of a test bed, with two registries for its images. */
export interface BedEngine {
  bed: Testbed;
  engine: Engine;
  /** A registry on the engine's machine, to pull from. */
  before: Registry;
  /** A second registry, to push to, because an engine does not push blobs that the registry already has. */
  after: Registry;
}

/**
 * A test bed for each kind of engine, started on its first use. All near engines are on the network of the tests, so any of them can send to
 * any far machine.
 */
export class Beds implements AsyncDisposable {
  readonly #started = new Map<EngineKind, Promise<Testbed>>();
  readonly #engines = new Map<string, Promise<BedEngine>>();

  async of(kind: EngineKind): Promise<Testbed> {
    const bed = this.#started.get(kind) ?? startTestbed({ near: { kind }, far: { kind } });
    this.#started.set(kind, bed);
    return await bed;
  }

  async engine(side: "near" | "far", kind: EngineKind): Promise<BedEngine> {
    const key = `${side} ${kind}`;
    const started = this.#engines.get(key) ?? startEngine(this.of(kind), side);
    this.#engines.set(key, started);
    return await started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const beds = await Promise.allSettled(this.#started.values());
    await Promise.all(
      beds.map(async (bed) => (bed.status === "fulfilled" ? await bed.value[Symbol.asyncDispose]() : undefined)),
    );
  }
}

async function startEngine(starting: Promise<Testbed>, side: "near" | "far"): Promise<BedEngine> {
  const bed = await starting;
  const [before, after] = await Promise.all([startRegistry(bed, side, "before"), startRegistry(bed, side, "after")]);
  return { bed, engine: bed[side], before, after };
}
