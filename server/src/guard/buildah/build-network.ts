import { messageOf } from "docker-over-ssh/builds";
import type { BuildRequest } from "../build-request.ts";
import type { Caller } from "../caller.ts";
import { Refusal } from "../refusal.ts";
import type { Home } from "./run-buildah.ts";
import { openStepNetwork, type StepNetwork } from "./slirp-network.ts";
import type { BuildahDependencies } from "./dependencies.ts";
import type { SandboxOptions } from "./sandbox.ts";

/** The network of one build. Disposing ends it. */
export interface BuildNetwork extends AsyncDisposable {
  /** The network of buildah itself, which fetches the addresses of `ADD` */
  readonly sandbox: SandboxOptions["network"];
  /** The network of the steps. `host` is the network of the sandbox */
  readonly steps: "none" | "host";
}

/**
 * Opens the network of a build. It is either none, or one that cannot reach a service that listens on 127.0.0.1 of the host.
 *
 * @param fetches whether `ADD` has an address
 * @throws Refusal `buildah.network` if it is not available
 */
export async function openBuildNetwork(
  { setup, env }: BuildahDependencies,
  { tenant: { policy } }: Caller,
  { userNamespace }: Home,
  { network }: BuildRequest,
  fetches: boolean,
): Promise<BuildNetwork> {
  const forSteps = policy.hasNetwork && network !== "none";
  // Without a runtime, steps share the network of buildah.
  const isolated = setup.isolation === "chroot" ? "host" : "none";
  if (!forSteps && !fetches) return { sandbox: "none", steps: isolated, async [Symbol.asyncDispose]() {} };
  // If the policy allows no network, buildah could still fetch addresses that the guard has not checked: those of a trigger, or of a line that buildah parses
  // differently.
  if (!forSteps && (isolated === "host" || !policy.hasNetwork)) {
    throw new Refusal("buildah.network", "ADD cannot fetch an address, because steps have no network here");
  }
  const opened = await openOrRefuse(userNamespace, env);
  return {
    sandbox: opened,
    steps: forSteps ? "host" : "none",
    [Symbol.asyncDispose]: async () => await opened[Symbol.asyncDispose](),
  };
}

async function openOrRefuse(userNamespace: string | undefined, env: NodeJS.ProcessEnv): Promise<StepNetwork> {
  try {
    return await openStepNetwork(userNamespace, env);
  } catch (error) {
    throw new Refusal(
      "buildah.network",
      `builds have no network here (${messageOf(error)}): build with --network none, or ask the operator to install slirp4netns`,
      { statusCode: 501, cause: error },
    );
  }
}
