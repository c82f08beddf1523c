import { cpus, release, totalmem } from "node:os";
import { run } from "../test/testbed/programs.ts";
import { type Scenario } from "./scenarios.ts";
import { prepareLayer } from "./workload/layers.ts";
import type { Stage } from "./stage.ts";

/** The machine and the versions that the figures depend on. */
export interface Surroundings {
  cores: number;
  /** Several machines if rows were added on another one. The rows of one store, scenario and link always come from one machine. */
  processor: string;
  memoryGB: number;
  kernel: string;
  node: string;
  ssh: string;
  zstd: string;
  /** The versions of the sending and the receiving engine, by store. */
  engines: Record<string, string>;
  workload: Record<string, { MB: number; files: number }>;
}

/** @param before the surroundings of the results to which rows are added */
export async function surroundings(before?: Surroundings): Promise<Surroundings> {
  const { stderr: ssh } = await run`ssh -V`;
  const { stdout: zstd } = await run`zstd --version`;
  return {
    cores: cpus().length,
    processor: [...new Set([...(before?.processor.split(" or ") ?? []), cpus()[0]?.model ?? "?"])].join(" or "),
    memoryGB: Math.round(totalmem() / 1e9),
    kernel: release().replace(/-.*/, ""),
    node: process.version,
    ssh: ssh.split(",")[0] ?? "",
    zstd: /v[\d.]+/.exec(zstd)?.[0] ?? "",
    engines: before?.engines ?? {},
    workload: before?.workload ?? {},
  };
}

export function addEngines({ engines }: Surroundings, { store, bed }: Stage): void {
  engines[store.name] = `${bed.near.version} to ${bed.far.version}`;
}

/** Prepares the layers of the scenarios and records their sizes. */
export async function describeWorkload(
  { workload }: Surroundings,
  scenarios: Scenario[],
  signal: AbortSignal,
): Promise<void> {
  for (const name of new Set(scenarios.flatMap(({ before, after }) => [...before, ...after]))) {
    signal.throwIfAborted();
    const { bytes, files } = await prepareLayer(name);
    workload[name] = { MB: Math.round(bytes / 1e5) / 10, files };
  }
}

/** Returns the notes that a reader needs before comparing. */
export function notes({ cores, processor, memoryGB, kernel, node, ssh, zstd, engines }: Surroundings): string[] {
  return [
    `${cores} cores (${processor}), ${memoryGB} GB, Linux ${kernel}, Node ${node}, ${ssh}, zstd ${zstd}; both machines are network namespaces of this one and share its cores.`,
    ...Object.entries(engines).map(([store, versions]) => `${store}: Docker ${versions}.`),
    "Seconds: from the start of the command to its end, when the image is there under its name with the layers that were sent. The system's caches are dropped before each transfer.",
    "MB: the bytes that crossed the interface between the machines, headers included. No delay is added to the link. ×: the ratio to the best of the others, which has 1.",
    "Peak: VmHWM of docker-over-ssh's processes, without engines and other programs.",
    "Each receiver got app:v1 by the same peer that then sends app:v2, so that registries find their own digests again. Registries, skopeo and graph drivers remember v1, and nothing of v2.",
    "A containerd store's `docker save` holds the layers as gzip: zstd gains nothing there. docker push and skopeo copy use a registry that keeps running beside the sending engine and has v1; docker-over-ssh uses none, and --registry container starts one for each transfer.",
    "zstd --patch-from needs both images on one machine, uncompressed. It gives a size for comparison, not a transfer.",
  ];
}
