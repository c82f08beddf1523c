import type { NonEmpty } from "../non-empty.ts";
import type { TransferResult } from "../output/events.ts";
import { Failure } from "../output/errors.ts";
import type { Context } from "../transfer.ts";
import type { BuildOptionValues } from "./options/build-options.ts";
import { pushJob } from "./push.ts";
import { isAddress } from "./options/read-words.ts";
import { relayOrder } from "./options/relay-order.ts";
import type { Batch, Connection, PushRequest } from "../request.ts";

/** Sends the built image from the host that has built it on to other hosts, with the ssh of that host. */
export type Deploy = (context: Context) => Promise<NonEmpty<TransferResult>>;

/**
 * Reads --deploy; returns undefined if it is not given. Throws a `usage` Failure if the builder is not a host, or cannot pass images on.
 */
export function readDeploy(
  names: readonly string[],
  connection: Connection,
  { deploy: hosts = [], rsh, ...options }: BuildOptionValues,
  env: NodeJS.ProcessEnv,
): Deploy | undefined {
  if (hosts.length === 0) return undefined;
  const wrong = hosts.find((host) => !isAddress(host));
  if (wrong !== undefined) throw noHost(`--deploy ${wrong}`);
  if (connection.kind !== "host") throw noHost("--deploy, with a remote command,");
  const { sudo, far, farImage, farPath, timeout, bwlimit } = options;
  const ofHosts = { sudo, far, farImage, farPath, timeout, bwlimit };
  const [image = "", ...images] = names;
  const words: { images: NonEmpty<string>; command: string[] } = {
    images: [image, ...images],
    command: [connection.given, ...hosts],
  };
  const batch = pushJob(words, { ...ofHosts, ssh: rsh }, env).batch as Batch<PushRequest>;
  const order = relayOrder(batch, ofHosts);
  return async (context) => {
    const { relayFromFirst } = await import("../run-batch/relay/push-by-relay.ts");
    return await relayFromFirst(batch, order, context);
  };
}

function noHost(what: string): Failure {
  return new Failure("usage", `${what} cannot send images from host to host`, {
    expected: "ssh://HOST as the builder, and ssh://HOST after --deploy",
    hint: "Or bring the image back with --load, and push it from this machine.",
  });
}
