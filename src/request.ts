import type { CompressOption } from "./packing/compress-option.ts";
import type { Via } from "./receive/engine-target.ts";

/** When missing layers are sent in pieces: where that is faster (`auto`), where it is possible, or not at all. */
export type Delta = "auto" | "always" | "never";

/** What push and pull are asked for, as the command line has it. */
export interface TransferRequest {
  image: string;
  /** --as: the name that it gets where it arrives, if it is another one */
  as?: string | undefined;
  /** The far command, word for word; empty: this side is the far command. */
  command: readonly string[];
  /** -H */
  host?: string | undefined;
  /** `os/arch[/variant]` */
  platform?: string | undefined;
  /** ms */
  timeout?: number | undefined;
  /** --compress; of both sides, the sending one decides */
  compress?: CompressOption | undefined;
  /** --bwlimit, bytes a second, each way; 0 is no limit */
  bwlimit?: number | undefined;
  /** --sudo */
  sudo?: boolean | undefined;
  /** --delta; either side's `never` counts for both, then either side's `always` */
  delta?: Delta | undefined;
  /** --preserve-digest; it is enough that one side was told */
  preserveDigest?: boolean | undefined;
  /** The other side is in this process too: layers need not be packed for the way between them. */
  inProcess?: boolean | undefined;
}

export interface PushRequest extends TransferRequest {
  /** --registry */
  registry?: string | undefined;
}

export interface PullRequest extends TransferRequest {
  /** --via */
  via?: Via | undefined;
  /** --to */
  to?: string | undefined;
  /** --max-size, bytes */
  maxSize?: number | undefined;
  /** What the sending side calls it, where it will be called something else here */
  asked?: string | undefined;
}
