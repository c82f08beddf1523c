import type { About } from "../../conversation/messages.ts";
import type { Digest } from "../../image/digest.ts";
import type { FileLocation } from "../../image/location.ts";
import type { Spool } from "../../run/spool.ts";
import { archiveStream, type ArchiveStream } from "./archive-stream.ts";
import type { FetchedImage } from "../fetch-image.ts";
import { namesInFile } from "./name-in-file.ts";
import type { ReceiveOptions } from "../receive-options.ts";
import type { DiskSpace } from "../free-space.ts";

/** Creates the archive of a fetched image. */
export interface ArchiveMaker {
  /** Whether the archive may lack layers. */
  readonly isPartial: boolean;
  /** Returns the layers that it will contain, bottom first. A layer may occur more than once. */
  wanted(about: About): readonly Digest[];
  /** Returns further disks that need space, in addition to those of the archive and of the cache folder. */
  spaces(about: About, wanted: readonly Digest[]): DiskSpace[];
  /** @param onMoved receives the number of bytes read for that */
  make(
    fetched: FetchedImage,
    options: ReceiveOptions,
    spool: Spool,
    onMoved: (bytes: number) => void,
  ): Promise<MadeArchive>;
}

export interface MadeArchive extends ArchiveStream {
  /** The plain bytes of layers that the archive omits, because they are in a delta base. */
  bytesFound?: number;
}

/** Creates archives that contain a whole image. */
export function wholeArchives(location: FileLocation): ArchiveMaker {
  return {
    isPartial: false,
    wanted: ({ diffIds }) => diffIds,
    spaces: () => [],
    async make(fetched, { about, names }, spool, onMoved) {
      const named = { ...fetched, names: namesInFile(location, names), preserve: about.manifest !== undefined };
      return await archiveStream(location.kind, named, spool, onMoved);
    },
  };
}
