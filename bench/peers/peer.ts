import type { Stage } from "../stage.ts";

/** A tool, or a line of tools, that moves an image from one engine to the other. */
export interface Peer {
  name: string;
  /** Set for docker-over-ssh, whose memory is measured, and which is compared with the other peers. */
  ours?: true;
  /** The remote machine has no part of docker-over-ssh before a transfer, so the bundle is sent with it. */
  isFirstContact?: true;
  /** The script for bash on the near machine. It stops at the first line or part of a pipe that fails. */
  line(image: string, stage: Stage): string;
  /** Why the peer does not run. */
  whyNot?: string;
}
