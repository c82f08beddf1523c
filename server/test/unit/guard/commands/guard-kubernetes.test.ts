import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { GUARD, type GuardOptions } from "../../../../src/commands/guard-options.ts";
import { parseWords } from "../../../../src/commands/option.ts";
import { readGuardSettings } from "../../../../src/commands/read-guard-settings.ts";

interface Mount {
  name: string;
  mountPath: string;
  readOnly?: boolean;
  mountPropagation?: string;
}

interface PodSpec {
  containers: { command: string[]; args: string[]; env?: { name: string; value: string }[]; volumeMounts: Mount[] }[];
  volumes: { name: string; hostPath?: { path: string }; emptyDir?: object }[];
}

/** The parts of a manifest that this test reads */
interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string };
  spec: PodSpec & { template: { spec: PodSpec; metadata: { labels: object } }; selector: { matchLabels: object } };
}

const FILE = join(import.meta.dirname, "../../../../../examples/guard/kubernetes.yaml");
const manifests = parseAllDocuments(readFileSync(FILE, "utf8")).map((one) => {
  expect([one.errors, one.warnings]).toEqual([[], []]);
  return one.toJS() as Manifest;
});
const ofKind = (kind: string): Manifest => manifests.find((one) => one.kind === kind) as Manifest;

/** Returns the mounted volumes, by their paths in the container */
function mounts({ containers: [container], volumes }: PodSpec): Record<string, PodSpec["volumes"][number] & Mount> {
  expect(container?.volumeMounts.map(({ name }) => name).toSorted()).toEqual(
    volumes.map(({ name }) => name).toSorted(),
  );
  return Object.fromEntries(
    (container?.volumeMounts ?? []).map((mount) => {
      const volume = volumes.find(({ name }) => name === mount.name);
      return [mount.mountPath, { ...mount, ...volume, name: mount.name }];
    }),
  );
}

test("examples/guard/kubernetes.yaml: the guard's options exist, and their paths are mounted", () => {
  const daemons = ofKind("DaemonSet");
  const { spec, metadata } = daemons.spec.template;
  const [{ command, args } = { command: [], args: [] }] = spec.containers;
  const [program, word, ...words] = [...command, ...args];
  expect([program, word]).toEqual(["docker-over-ssh", "guard"]);
  const { options } = parseWords<GuardOptions>(GUARD, words, () => {}) ?? { options: {} };
  const settings = readGuardSettings(options, {});
  expect(settings).toMatchObject({
    mode: "passthrough",
    engine: "unix:///run/engine/docker.sock",
    data: "/var/lib/docker-guard",
    sources: { usesEnginePods: true, listed: [], bindLocal: undefined, kubelet: undefined },
    defaults: {
      policy: { bases: ["docker.io/library/*"], pushes: ["registry.example.com/*"] },
      quotas: { builds: 2 },
    },
  });
  const paths = mounts(spec);
  expect(paths).toMatchObject({
    "/run/engine": { hostPath: { path: "/run" }, readOnly: true },
    "/var/lib/kubelet/pods": { hostPath: { path: "/var/lib/kubelet/pods" }, mountPropagation: "HostToContainer" },
    [settings.data]: { hostPath: { path: settings.data } },
  });
  // The guard writes sockets and records.
  for (const path of ["/var/lib/kubelet/pods", settings.data]) expect(paths[path]?.readOnly).toBeUndefined();
  expect(metadata.labels).toEqual(daemons.spec.selector.matchLabels);
  expect(daemons.metadata.namespace).toBe(ofKind("Namespace").metadata.name);
});

test("examples/guard/kubernetes.yaml: the building pod mounts the volume that the guard looks for, and its client finds the socket", () => {
  const { spec } = ofKind("Pod");
  expect(mounts(spec)).toEqual({
    "/var/run/docker": { name: "docker-socket", mountPath: "/var/run/docker", emptyDir: {} },
  });
  expect(spec.containers[0]?.env).toEqual([{ name: "DOCKER_HOST", value: "unix:///var/run/docker/docker.sock" }]);
});
