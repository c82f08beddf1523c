import type { PlatformChoice } from "../image/index-content.ts";
import { Failure } from "../output/errors.ts";
import type { PeerVersion } from "../stdio-tunnel/handshake.ts";
import { INDEXES } from "./features.ts";

/** Throws a `usage` Failure if this side requests several platforms, and the peer has a version that transfers only one. */
export function refuseOldPeer(
  { platforms }: { platforms?: PlatformChoice | undefined },
  { peer }: { peer: PeerVersion },
): void {
  if (platforms === undefined || peer.features.includes(INDEXES)) return;
  throw new Failure(
    "usage",
    `the remote side is docker-over-ssh ${peer.tool}, which transfers one platform of an image`,
    {
      expected: "a version with --all-platforms on both sides",
      hint: "Nothing was sent. Install the same version on the remote side, send this version to the host with --far node, or name one --platform.",
    },
  );
}
