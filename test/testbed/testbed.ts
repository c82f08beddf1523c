import type { EngineDescription } from "./daemon.ts";
import { Engine } from "./engine.ts";
import type { Machine } from "./machine.ts";
import type { Wire } from "./network.ts";
import { countBytes, limitRate, type Traffic } from "./wire.ts";

/** The data of a running test bed, for test files in other processes. */
export interface TestbedDescription {
  near: EngineDescription;
  far: EngineDescription;
  /** The environment for commands on the near machine. */
  env: Record<string, string>;
  /** The data of two machines, or the reason why there is only one machine. */
  machines: TwoMachines | { why: string };
}

export interface TwoMachines {
  folder: string;
  near: Machine;
  far: Machine;
  wire: Wire;
  sshConfig: string;
  bin: string;
}

/**
 * Two engines, each in namespaces that look like a separate machine, joined by a network: `near`, where the tests run, and `far`, which has
 * an sshd.
 */
export class Testbed implements AsyncDisposable {
  readonly description: TestbedDescription;
  readonly near: Engine;
  readonly far: Engine;
  readonly #dispose: () => Promise<void>;

  constructor(description: TestbedDescription, dispose = async () => {}) {
    this.description = description;
    this.near = new Engine(description.near);
    this.far = new Engine(description.far);
    this.#dispose = dispose;
  }

  /** For tests that need two engines: the reason why there is only one engine and no ssh; undefined if there are two. */
  get onlyOneEngine(): string | undefined {
    const { machines } = this.description;
    return "why" in machines ? machines.why : undefined;
  }

  /** The settings for `ssh -F`, with `far`, `noisy`, `bare`, `with-node` and `far-again` (ssh.ts). */
  get sshConfig(): string {
    return this.#machines().sshConfig;
  }

  /** The folder that must be first in PATH, with `docker-over-ssh`, and an `ssh` that knows the hosts above. */
  get bin(): string {
    return this.#machines().bin;
  }

  /** The run's folder, with logs in `near/` and `far/`. */
  get folder(): string {
    return this.#machines().folder;
  }

  /**
   * The environment of a user on the near machine: `ssh far "docker-over-ssh pull app"` works verbatim, and docker connects to the near
   * engine. HOME is a folder of this run.
   */
  get env(): Record<string, string> {
    return this.description.env;
  }

  /** Starts to count the bytes on the wire. @returns a function that returns the count so far */
  async countWire(): Promise<() => Promise<Traffic>> {
    const { near, wire } = this.#machines();
    const before = await countBytes(near, wire);
    return async () => {
      const now = await countBytes(near, wire);
      return { toFar: now.toFar - before.toFar, toNear: now.toNear - before.toNear };
    };
  }

  /** Limits the wire to this number of megabits per second in each direction; `undefined` removes the limit. */
  async limitRate(mbit: number | undefined): Promise<void> {
    const { near, far, wire } = this.#machines();
    const ends = [
      { machine: near, device: wire.device },
      { machine: far, device: wire.farDevice },
    ];
    await limitRate(ends, mbit);
  }

  /** Ends both machines and removes their files. Does nothing in other processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispose();
  }

  #machines(): TwoMachines {
    const { machines } = this.description;
    if ("why" in machines) throw new Error(`this needs two machines: ${machines.why}`);
    return machines;
  }
}
