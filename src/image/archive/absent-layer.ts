import { Readable } from "node:stream";
import { fileNotFound } from "./archive-files.ts";
import type { ArchivedImage, ArchivedLayer } from "./image-archive.ts";

/** Returns the properties of a layer that the archive names but does not contain, with the URLs in its descriptor. */
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

/** Returns the image if the archive contains all of its layers. Throws `FileNotFound` otherwise. */
export function refuseAbsentLayers(image: ArchivedImage): ArchivedImage {
  const layer = image.layers.find(({ absent }) => absent !== undefined);
  if (layer?.absent !== undefined) throw fileNotFound(layer.absent.path);
  return image;
}
