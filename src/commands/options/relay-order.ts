import { taggableName } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import { canRelay } from "../../run-batch/relay/relay-programs.ts";
import type { Batch, PushRequest, RelayOrder } from "../../request.ts";

/**
 * Returns what the first host of --relay is to do with the others. Throws a `usage` Failure where there are none, where an option keeps the first
 * one from it, and for an image without a name.
 */
export function relayOrder({ remotes }: Batch<PushRequest>, given: object): RelayOrder {
  const [{ connection, transfers }, ...others] = remotes;
  const [host, ...hosts] = others.map((other) => (other.connection.kind === "host" ? other.connection.given : ""));
  if (connection.kind !== "host" || host === undefined) {
    throw new Failure("usage", "--relay is for several hosts: the first one passes the images on to the others", {
      expected: "two addresses at least: ssh://FIRST ssh://SECOND",
      hint: "Leave --relay out, or name further hosts.",
    });
  }
  if (!connection.programs.some(canRelay)) {
    throw new Failure("usage", `--far ${connection.programs.join(" ")} cannot pass the images on to other hosts`, {
      expected: "a program with the ssh of the first host: --far installed, node or node-sent",
      hint: "Leave --far out, or --relay.",
    });
  }
  const [image, ...images] = transfers.map(nameThere);
  // DOCKER_OVER_SSH_FAR of this side is for all hosts.
  const [far, ...moreFar] = connection.programs;
  const options = { ...passedOn(given), ...(moreFar.length === 0 && { far }) };
  return { images: [image ?? "", ...images], hosts: [host, ...hosts], options };
}

/** The first host is asked for the image by this name: without a digest, by which its engine may not know the image. */
function nameThere({ source, remoteName }: PushRequest): string {
  if (remoteName?.digest !== undefined) return taggableName(remoteName) ?? remoteName.given;
  if (remoteName !== undefined) return remoteName.given;
  throw new Failure("usage", `${source.given} does not name its image, by which --relay passes it on`, {
    expected: "a name behind the path, or --as NAME",
    hint: `For instance ${source.given}:app:v2.`,
  });
}

/**
 * The options that are not for the first host's own push: where the images come from here, the program that logs in from here, what is for this
 * side's link (that between the hosts is another), and what is printed.
 */
const OWN = [
  "registry",
  "host",
  "imagesFrom",
  "compose",
  "built",
  "hostsFile",
  "relay",
  "ssh",
  "compress",
  "bwlimit",
  "delta",
  "dryRun",
  "mayPrompt",
  "quiet",
  "verbose",
  "progress",
  "json",
] as const;

function passedOn(options: object): RelayOrder["options"] {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !(OWN as readonly string[]).includes(name)));
}
