import type { EngineDescription } from "./daemon.ts";
import { Engine } from "./engine.ts";
import type { Machine } from "./machine.ts";
import type { Wire } from "./network.ts";
import { countBytes, limitRate, type Traffic } from "./wire.ts";

/** All about a running test bed as plain data, for the test files that run in other processes. */
export interface TestbedDescription {
  near: EngineDescription;
  far: EngineDescription;
  /** Environment for commands that are run on the near machine. */
  env: Record<string, string>;
  /** What only two machines have; or why there is just one. */
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
 * Two Docker engines, each on a machine of its own, as far as it can tell, joined by a network:
 * `near`, where the tests run, and `far`, which has an sshd.
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

  /** Why there is just one engine and no ssh, when that is so: tests that need two say this. */
  get onlyOneEngine(): string | undefined {
    const { machines } = this.description;
    return "why" in machines ? machines.why : undefined;
  }

  /** For `ssh -F`: knows `far`, `noisy`, `bare` and `far-again` (see ssh.ts). */
  get sshConfig(): string {
    return this.#machines().sshConfig;
  }

  /** To be first in PATH: there are `docker-over-ssh`, and an `ssh` that knows the hosts above. */
  get bin(): string {
    return this.#machines().bin;
  }

  /** The run's own folder: logs are in `near/` and `far/`. */
  get folder(): string {
    return this.#machines().folder;
  }

  /**
   * The environment of a user on the near machine: `ssh far "docker-over-ssh pull app"` works as
   * typed, and docker talks to the near engine. HOME is one for this run.
   */
  get env(): Record<string, string> {
    return this.description.env;
  }

  /** Starts to count what crosses the wire. @returns asks for the count so far */
  async countWire(): Promise<() => Promise<Traffic>> {
    const { near, wire } = this.#machines();
    const before = await countBytes(near, wire);
    return async () => {
      const now = await countBytes(near, wire);
      return { toFar: now.toFar - before.toFar, toNear: now.toNear - before.toNear };
    };
  }

  /** Makes the wire no faster than so many megabits per second each way; `undefined`: no limit. */
  async limitRate(mbit: number | undefined): Promise<void> {
    const { near, far, wire } = this.#machines();
    const ends = [
      { machine: near, device: wire.device },
      { machine: far, device: wire.farDevice },
    ];
    await limitRate(ends, mbit);
  }

  /** Ends both machines and removes all that was theirs; in other processes, does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispose();
  }

  #machines(): TwoMachines {
    const { machines } = this.description;
    if ("why" in machines) throw new Error(`this needs two machines: ${machines.why}`);
    return machines;
  }
}
