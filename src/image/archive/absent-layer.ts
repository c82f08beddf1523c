import { Readable } from "node:stream";
import type { ArchivedImage, ArchivedLayer } from "./image-archive.ts";
import { fileNotFound } from "./archive-files.ts";

/** What is to be said of a layer that the archive names and does not hold: it can be had elsewhere, or at these URLs. */
export function absentLayer(path: string, urls: readonly string[] = []): Pick<ArchivedLayer, "absent" | "open"> {
  return {
    absent: { path, urls },
    open: () =>
      new Readable({
        read() {
          this.destroy(fileNotFound(path));
        },
      }),
  };
}

/** An image of which all layers are here. Throws `InvalidImage`. */
export function refuseAbsentLayers(image: ArchivedImage): ArchivedImage {
  const missing = image.layers.find((layer) => layer.absent !== undefined);
  if (missing?.absent !== undefined) throw fileNotFound(missing.absent.path);
  return image;
}
