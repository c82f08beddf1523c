import type { PlatformChoice } from "../image/index-content.ts";
import { Failure } from "../output/errors.ts";
import { INDEXES } from "./features.ts";

type Peer = { peer: { features: readonly string[]; tool: string } };

/** Throws a `usage` Failure when this side asks for several platforms, and the peer is of a version that moves one. */
export function refuseOldPeer({ platforms }: { platforms?: PlatformChoice | undefined }, { peer }: Peer): void {
  if (platforms === undefined || peer.features.includes(INDEXES)) return;
  throw new Failure("usage", `the remote side is docker-over-ssh ${peer.tool}, which moves one platform of an image`, {
    expected: "a version with --all-platforms on both sides",
    hint: "Nothing was sent. Install the same version there, let a host run this one (--far node,container,engine), or name one --platform.",
  });
}
