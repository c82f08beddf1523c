import type { EngineKind } from "../testbed/engine-packages.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";

/**
 * A test bed for each kind of engine, started when it is first asked for. All near engines are on the network of whoever runs
 * the tests, so any of them can send to any far machine.
 */
export class Beds implements AsyncDisposable {
  readonly #started = new Map<EngineKind, Promise<Testbed>>();

  async of(kind: EngineKind): Promise<Testbed> {
    const bed = this.#started.get(kind) ?? startTestbed({ near: { kind }, far: { kind } });
    this.#started.set(kind, bed);
    return await bed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const beds = await Promise.allSettled(this.#started.values());
    await Promise.all(
      beds.map(async (bed) => (bed.status === "fulfilled" ? await bed.value[Symbol.asyncDispose]() : undefined)),
    );
  }
}
