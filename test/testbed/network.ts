import { runInside, type Machine } from "./machine.ts";
import { run as runProgram } from "./programs.ts";
import type { Run } from "./run.ts";

/** The bridge of an engine. */
export interface Bridge {
  device: string;
  /** The address with the prefix length, e.g. 10.1.2.3/24. */
  address: string;
}

/** The cable between the two machines. */
export interface Wire {
  /** The device of the near machine; `farDevice` is the far machine's. */
  device: string;
  farDevice: string;
  nearAddress: string;
  farAddress: string;
}

/** Chooses names and addresses for a run that this machine does not use. */
export async function planNetwork(run: Run): Promise<{ near: Bridge; far: Bridge; wire: Wire }> {
  const prefix = await freePrefix();
  return {
    near: { device: `${run.name}b`, address: `${prefix}.1/25` },
    far: { device: "containers0", address: `${prefix}.193/26` },
    wire: {
      device: `${run.name}w`,
      farDevice: "eth0",
      nearAddress: `${prefix}.129`,
      farAddress: `${prefix}.130`,
    },
  };
}

/** Returns the first three bytes of a private network without a route. They are random, because two runs may choose at the same time. */
async function freePrefix(): Promise<string> {
  const { stdout: routes } = await runProgram`ip -4 route show table all`;
  for (;;) {
    const byte = (from: number, to: number) => from + Math.floor(Math.random() * (to - from));
    const prefix = `10.${byte(208, 248)}.${byte(0, 256)}`;
    if (!routes.includes(`${prefix}.`)) return prefix;
  }
}

/**
 * Adds a bridge for one engine. `dockerd --bridge=none` needs none, but deletes the docker0 of the network namespace, which may belong to another
 * engine.
 */
export async function addBridge(machine: Machine, { device, address }: Bridge): Promise<void> {
  const commands = `ip link add ${device} type bridge
    ip addr add ${address} dev ${device}
    ip link set ${device} up`;
  await runInside(machine, "sh", ["-ec", commands]);
}

/** Connects the far machine to the near machine's network. */
export async function addWire(near: Machine, far: Machine, wire: Wire): Promise<void> {
  const peer = `type veth peer name ${wire.farDevice} netns ${far.init.pid}`;
  // Runs outside of the machines' namespaces, where the process ID of the far machine is valid.
  await runProgram("ip", `link add ${wire.device} ${peer}`.split(" "));
  const ends = [
    { machine: near, device: wire.device, address: wire.nearAddress },
    { machine: far, device: wire.farDevice, address: wire.farAddress },
  ];
  for (const { machine, device, address } of ends) {
    const commands = `ip addr add ${address}/30 dev ${device}; ip link set ${device} up`;
    await runInside(machine, "sh", ["-ec", commands]);
  }
}
