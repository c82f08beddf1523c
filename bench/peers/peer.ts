import type { Stage } from "../stage.ts";

/** A tool, or a line of tools, that moves an image from one engine to the other. */
export interface Peer {
  name: string;
  /** Set for docker-over-ssh: its memory is measured, and it is compared with the others. */
  ours?: true;
  /** Nothing of docker-over-ssh is on the remote machine before a transfer: the bundle is sent with it. */
  isFirstContact?: true;
  /** The script for bash on the near machine, which stops at the first failing line or part of a pipe. */
  line(image: string, stage: Stage): string;
  /** Why the peer is not run. */
  whyNot?: string;
}
