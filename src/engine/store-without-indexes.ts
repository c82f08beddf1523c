import { Failure } from "../output/errors.ts";
import type { EngineInfo } from "./engine.ts";

/** Returns the Failure for an engine that cannot export or load an image with its index. */
export function storeWithoutIndexes({ store }: Pick<EngineInfo, "store">, address: string): Failure {
  return new Failure("refused", WHY[store](address), {
    expected:
      "a Docker engine with the containerd image store, or an OCI layout, because of --all-platforms or several --platform",
    hint: HINT[store],
  });
}

const WHY: Record<EngineInfo["store"], (address: string) => string> = {
  graphdriver: (address) => `the classic store of ${address} stores one platform of an image, and no index`,
  containerd: (address) =>
    `${address} does not provide access to its content store (gRPC of BuildKit), where the index is`,
  podman: (address) => `the API of Podman at ${address} supports one platform of an image, and no index`,
};

const HINT: Record<EngineInfo["store"], string> = {
  graphdriver:
    'Nothing was sent. Name one --platform; or turn the containerd image store on: "features": {"containerd-snapshotter": true} in daemon.json.',
  containerd: "Nothing was sent. Name one --platform, or reach the engine without a proxy.",
  podman:
    "Nothing was sent. Name one --platform; or use a layout: skopeo copy --all, or podman manifest push --all NAME oci:FOLDER.",
};
