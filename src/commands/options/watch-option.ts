import { Failure } from "../../output/errors.ts";
import type { Batch, Connection, PushRequest } from "../../request.ts";
import type { OptionDefinition } from "./command-definition.ts";

/** Values of the options that affect --watch. */
export interface WatchOptions {
  watch?: boolean | undefined;
  dryRun?: boolean | undefined;
  parallel?: number | undefined;
  relay?: boolean | undefined;
}

export const WATCH_OPTION: OptionDefinition = {
  flags: "--watch",
  description:
    "with a host: stay connected, and send each image again whenever its tag moves in the engine of this side, until Ctrl-C; --run and --keep are applied after each transfer. Reconnects when the link is lost",
};

/** Turns the pushes of a batch into a watch if the option is given. Throws a `usage` Failure for pushes that cannot be watched. */
export function withWatch(
  batch: Batch<PushRequest>,
  { watch, dryRun, parallel, relay }: WatchOptions,
): Batch<PushRequest> {
  if (!watch) return batch;
  if (dryRun) throw contradicts("--dry-run", "a dry run sends nothing, even when a tag moves");
  if (parallel !== undefined) throw contradicts("--parallel", "a watch needs a link to each host");
  if (relay) throw contradicts("--relay", "a relay ends after its images");
  const [first, ...others] = batch.remotes;
  for (const { connection } of batch.remotes) refuseConnection(connection);
  first.transfers.forEach(refuseFixed);
  return { ...batch, remotes: [{ ...first, watch }, ...others.map((remote) => ({ ...remote, watch }))] };
}

function contradicts(option: string, why: string): Failure {
  return new Failure("usage", `--watch and ${option} contradict each other: ${why}`, {
    expected: "one of them",
    hint: `Omit ${option}.`,
  });
}

function refuseConnection({ kind }: Connection): void {
  if (kind === "host" || kind === "engine") return;
  throw new Failure("usage", "--watch needs a remote side that it can start again", {
    expected:
      "ssh://[USER@]HOST, docker://CONTAINER, kubectl://NAMESPACE/POD or a command that ends in docker system dial-stdio, after the image",
    hint: "A docker-over-ssh that a command of your own starts ends after its images: name the host instead of the command.",
  });
}

/** Throws a `usage` Failure for an image without a tag, because no tag can move. */
function refuseFixed({ source }: PushRequest): void {
  const isFixed =
    source.kind !== "docker-daemon" ||
    source.image.reference === undefined ||
    source.image.reference.digest !== undefined;
  if (!isFixed) return;
  throw new Failure("usage", `--watch waits for a tag to move, but ${source.given} names no tag in an engine`, {
    expected: "NAME[:TAG] of an image in an engine; not an ID, a digest, or an archive",
    hint: "For instance --watch app:dev.",
  });
}
