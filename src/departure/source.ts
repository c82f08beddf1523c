import type { FoundImage } from "./departure.ts";
import type { Reference } from "../image/reference.ts";

/** A place that images are sent from. */
export interface Source extends AsyncDisposable {
  /** For messages: where it is. */
  readonly address: string;
  /** The image of that name, for that platform if one is named; undefined when it is not there. Reads no layers. */
  find(image: Reference, platform?: string): Promise<FoundImage | undefined>;
}
