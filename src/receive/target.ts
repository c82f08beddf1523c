import type { RunId } from "../run/run-id.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { ReceivedImage, ReceiveOptions } from "./received-image.ts";

/** A place that images are put into. */
export interface Target extends AsyncDisposable {
  /** For messages: where it is. */
  readonly address: string;
  /** Counts what moves there, see `Engine`: bytes that are read and written, where no engine is. */
  readonly moved?: number;
  /** `os/arch` of what runs there; undefined where nothing does. */
  readonly platform?: string;
  /** The name as this place writes it. Throws a `usage` Failure when it can hold no such name. */
  nameFor(image: Reference): string;
  /** Removes what runs that were killed have left; says what that was. */
  tidy(): Promise<string[]>;
  /** Brings what is missing, and puts the image in under a temporary name. The caller owns the result. */
  receive(options: ReceiveOptions): Promise<ReceivedImage>;
  /** What is there under a name. */
  inspect(name: string): Promise<{ id: string; diffIds: Digest[] } | undefined>;
  /** Digest of the manifest that is there under a name, as it was read there. Left out where no manifests are kept. */
  manifestOf?(name: string, of: { platform: string; run: RunId }): Promise<Digest | undefined>;
  /** Gives what has arrived its name; that moves when another image has it. */
  tag(from: string, to: string): Promise<void>;
}
