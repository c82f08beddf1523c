import { appendFileSync, copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { Engine } from "../../test/testbed/engine.ts";
import { enginePath, type EngineKind } from "../../test/testbed/engine-packages.ts";
import { startMachine, type Machine } from "../../test/testbed/machine.ts";
import { addBridge, addWire, planNetwork, type Wire } from "../../test/testbed/network.ts";
import { startSshd } from "../../test/testbed/ssh.ts";
import type { Testbed } from "../../test/testbed/testbed.ts";
import { limitRate } from "../../test/testbed/wire.ts";

/** A machine with an engine and an sshd, behind its own link. */
export interface Host {
  /** The name for ssh. */
  name: string;
  engine: Engine;
  /** Limits the link, as `Testbed.limitRate` does. */
  limitRate(mbit: number | undefined): Promise<void>;
}

/** Hosts in addition to the `far` of a test bed. Dispose of them before the test bed. */
export class AddedHosts implements AsyncDisposable {
  readonly #bed: Testbed;
  readonly #lifelines: Writable[] = [];
  readonly all: Host[] = [];

  constructor(bed: Testbed) {
    this.#bed = bed;
  }

  async add(kind: EngineKind): Promise<void> {
    const { machines } = this.#bed.description;
    if ("why" in machines) throw new Error(machines.why);
    const { near, far, sshConfig } = machines;
    const number = this.all.length + 2;
    const name = `far-${number}`;
    const folder = join(machines.folder, name);
    const home = join(folder, "home");
    mkdirSync(home, { recursive: true });
    const machine = await startMachine({ hostname: name, folder, ownNetwork: true, lifelines: this.#lifelines });
    const { far: bridge, wire } = await planNetwork({ name: `dosh${process.pid}-${number}`, folder });
    const path = await enginePath(kind);
    await addBridge(machine, bridge);
    const cgroup = this.#bed.far.description.daemon?.cgroup ?? "/";
    const socket = join(folder, "docker.sock");
    const daemon = { machine, bridge, cgroup };
    const engine = new Engine({ kind, version: "", socket, path, configFolder: join(home, ".docker"), daemon });
    await addWire(near, machine, wire);
    await engine.start();
    await this.#startSshd(machine, engine, wire, home);
    appendFileSync(sshConfig, `\nHost ${name}\n  HostName ${wire.farAddress}\n`);
    this.all.push({ name, engine, limitRate: async (mbit) => await limitRate(endsOf(near, machine, wire), mbit) });
    if (far.hostname === name) throw new Error(`${name} is already in use`);
  }

  async #startSshd(machine: Machine, engine: Engine, { farAddress }: Wire, home: string): Promise<void> {
    const ssh = join(machine.folder, "ssh");
    mkdirSync(ssh, { mode: 0o700 });
    for (const file of ["host-key", "user-key.pub"]) copyFileSync(join(this.#bed.folder, "ssh", file), join(ssh, file));
    const env = { PATH: `${this.#bed.bin}:${engine.env.PATH}`, HOME: home };
    await startSshd(machine, { folder: ssh, address: farAddress, env });
  }

  // oxlint-disable-next-line typescript/require-await -- the machines end with their lifelines
  async [Symbol.asyncDispose](): Promise<void> {
    for (const lifeline of this.#lifelines) lifeline.end();
  }
}

function endsOf(near: Machine, far: Machine, { device, farDevice }: Wire): { machine: Machine; device: string }[] {
  return [
    { machine: near, device },
    { machine: far, device: farDevice },
  ];
}
