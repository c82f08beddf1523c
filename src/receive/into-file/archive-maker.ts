import type { About } from "../../conversation/messages.ts";
import type { Digest } from "../../image/digest.ts";
import type { FileLocation } from "../../image/location.ts";
import type { Spool } from "../../run/spool.ts";
import { archiveStream, type ArchiveStream } from "./archive-stream.ts";
import type { FetchedImage } from "../fetch-image.ts";
import { namesInFile } from "./name-in-file.ts";
import type { ReceiveOptions } from "../receive-options.ts";
import type { Room } from "../free-space.ts";

/** Makes the archive of a fetched image. */
export interface ArchiveMaker {
  /** Whether the archive may lack layers. */
  readonly isPartial: boolean;
  /** Returns the layers that it will hold, bottom first; it may be longer than each of them once. */
  wanted(about: About): readonly Digest[];
  /** Returns further disks that need room, beside those of the archive and of the cache folder. */
  rooms(about: About, wanted: readonly Digest[]): Room[];
  /** @param onMoved receives bytes that are read for that */
  make(
    fetched: FetchedImage,
    options: ReceiveOptions,
    spool: Spool,
    onMoved: (bytes: number) => void,
  ): Promise<MadeArchive>;
}

export interface MadeArchive extends ArchiveStream {
  /** Plain bytes of layers that the archive leaves out, because they are in a delta base. */
  bytesFound?: number;
}

/** Makes archives that hold a whole image. */
export function wholeArchives(location: FileLocation): ArchiveMaker {
  return {
    isPartial: false,
    wanted: ({ diffIds }) => diffIds,
    rooms: () => [],
    async make(fetched, { about, names }, spool, onMoved) {
      const named = { ...fetched, names: namesInFile(location, names), preserve: about.manifest !== undefined };
      return await archiveStream(location.kind, named, spool, onMoved);
    },
  };
}
