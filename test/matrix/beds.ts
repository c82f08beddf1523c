import type { EngineKind } from "../testbed/engine-packages.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { startRegistry, type Registry } from "./registry.ts";

/** An engine of a bed, with what its images come from and go to beside the tool. */
export interface ImageLocation {
  bed: Testbed;
  engine: Engine;
  /** On the engine's machine, to pull from. */
  before: Registry;
  /** Another one, to push to: blobs that the first one has would not be asked of the engine. */
  after: Registry;
}

/**
 * A test bed for each kind of engine, started when it is first asked for. All near engines are on the network of whoever runs
 * the tests, so any of them can send to any far machine.
 */
export class Beds implements AsyncDisposable {
  readonly #started = new Map<EngineKind, Promise<Testbed>>();
  readonly #places = new Map<string, Promise<ImageLocation>>();

  async of(kind: EngineKind): Promise<Testbed> {
    const bed = this.#started.get(kind) ?? startTestbed({ near: { kind }, far: { kind } });
    this.#started.set(kind, bed);
    return await bed;
  }

  async location(side: "near" | "far", kind: EngineKind): Promise<ImageLocation> {
    const key = `${side} ${kind}`;
    const location = this.#places.get(key) ?? startPlace(this.of(kind), side);
    this.#places.set(key, location);
    return await location;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const beds = await Promise.allSettled(this.#started.values());
    await Promise.all(
      beds.map(async (bed) => (bed.status === "fulfilled" ? await bed.value[Symbol.asyncDispose]() : undefined)),
    );
  }
}

async function startPlace(starting: Promise<Testbed>, side: "near" | "far"): Promise<ImageLocation> {
  const bed = await starting;
  const [before, after] = await Promise.all([startRegistry(bed, side, "before"), startRegistry(bed, side, "after")]);
  return { bed, engine: bed[side], before, after };
}
