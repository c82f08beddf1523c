import type { Stage } from "../stage.ts";

/** One way to bring an image from one engine to the other. */
export interface Peer {
  name: string;
  /** Is it what all this is about? Its memory is measured, and others are what it is compared with. */
  ours?: true;
  /** As it is typed on the near machine, in bash, which ends at the first line that fails, and the first part of a pipe. */
  line(image: string, stage: Stage): string;
  /** Why it is not run. */
  whyNot?: string;
}
