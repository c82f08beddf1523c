import { expect, test } from "vitest";
import { INDEXES } from "../../src/conversation/features.ts";
import { refuseOldPeer } from "../../src/conversation/refuse-old-peer.ts";

const peer = (...features: string[]) => ({ peer: { features, tool: "0.1.0" } });

test("rejects several platforms if the peer transfers only one", () => {
  for (const platforms of ["all", [{ os: "linux", architecture: "arm64" }]] as const) {
    expect(() => refuseOldPeer({ platforms }, peer())).toThrow(
      expect.objectContaining({
        message: "the remote side is docker-over-ssh 0.1.0, which transfers one platform of an image",
        hint: "Nothing was sent. Install the same version on the remote side, send this version to the host with --far node, or name one --platform.",
      }),
    );
    expect(() => refuseOldPeer({ platforms }, peer(INDEXES))).not.toThrow();
  }
  expect(() => refuseOldPeer({}, peer())).not.toThrow();
});
