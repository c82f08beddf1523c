import { taggableName } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import { canRelay } from "../../run-batch/relay/relay-programs.ts";
import type { Batch, PushRequest, RelayOrder } from "../../request.ts";

/**
 * Returns the order that tells the first host of --relay to push to the others. Throws a `usage` Failure if there are no others, if an
 * option makes this impossible, and for an image without a name.
 */
export function relayOrder({ remotes }: Batch<PushRequest>, given: object): RelayOrder {
  const [{ connection, transfers }, ...others] = remotes;
  const [host, ...hosts] = others.map((other) => (other.connection.kind === "host" ? other.connection.given : ""));
  if (connection.kind !== "host" || host === undefined) {
    throw new Failure("usage", "--relay is for several hosts: the first one passes the images on to the others", {
      expected: "at least two addresses: ssh://FIRST ssh://SECOND",
      hint: "Omit --relay, or name further hosts.",
    });
  }
  if (!connection.programs.some(canRelay)) {
    throw new Failure("usage", `--far ${connection.programs.join(" ")} cannot pass the images on to other hosts`, {
      expected: "a program with the ssh of the first host: --far installed, node or node-sent",
      hint: "Omit --far, and unset DOCKER_OVER_SSH_FAR; or omit --relay.",
    });
  }
  const [image, ...images] = transfers.map(nameThere);
  // DOCKER_OVER_SSH_FAR of this side applies to all hosts.
  const [far, ...moreFar] = connection.programs;
  const options = { ...passedOn(given), ...(moreFar.length === 0 && { far }) };
  return { images: [image ?? "", ...images], hosts: [host, ...hosts], options };
}

/** Returns the name under which the first host finds the image: without a digest, which its engine may not know. */
function nameThere({ source, remoteName }: PushRequest): string {
  if (remoteName?.digest !== undefined) return taggableName(remoteName) ?? remoteName.given;
  if (remoteName !== undefined) return remoteName.given;
  throw new Failure("usage", `${source.given} does not name its image, but --relay needs the name`, {
    expected: "a name after the path, or --as NAME",
    hint: `For instance ${source.given}:app:v2.`,
  });
}

/**
 * The options that do not apply to the first host's own push: the source of the images on this side, this side's login program, the options of this
 * side's link (the link between the hosts is another one), and those of the output.
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
