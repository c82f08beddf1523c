import { makeContent, type ContentKind } from "./content.ts";
import type { Engine } from "./engine.ts";
import { baseFiles, folderEntry } from "./program-files.ts";
import { fileEntry, tar, tarSize, type TarEntry } from "./tar.ts";

/**
 * A layer of generated files. The same description gives the same files, and the same diff ID on engines that write the same tars. The tars of
 * 20.10 differ from those of later versions.
 */
export interface LayerSpec {
  /** The folder of its files, below `/`. */
  name: string;
  /** The total bytes of all files. */
  bytes: number;
  /** The number of files, of equal size. @default 1 */
  files?: number;
  /** @default "random" */
  content?: ContentKind;
  /** With another seed, all content differs. */
  seed?: string;
  /** The number of files, evenly spread, that differ from those of a layer without this option. */
  changedFiles?: number;
  /** The time of all files, in seconds since the epoch. A rebuild changes it. */
  mtime?: number;
}

/**
 * Builds an image with the engine's classic builder: busybox, the given layers, and a small
 * layer on top whose program prints `app v2`, if that is the reference's last part.
 * Two images with the same `layers` share all but the top layer.
 * @returns the image's ID
 */
export async function buildImage(engine: Engine, reference: string, layers: LayerSpec[] = []): Promise<string> {
  const context = await buildContext(reference, layers);
  // Some of the versions are installed without BuildKit.
  const { stdout } = await engine.dockerWithInput(context, ["build", "--quiet", "--tag", reference, "-"], {
    DOCKER_BUILDKIT: "0",
  });
  return stdout.trim();
}

/** Returns the build context of such an image, as a tar. */
export async function buildContext(reference: string, layers: LayerSpec[]): Promise<Iterable<Uint8Array>> {
  const archives: [string, TarEntry[]][] = [
    ["base", await baseFiles()],
    ...layers.map((layer): [string, TarEntry[]] => [layer.name, layerFiles(layer)]),
    ["app", appFiles(reference)],
  ];
  const dockerfile = [
    "FROM scratch",
    ...archives.map(([name], index) => `ADD ${index}-${name}.tar /`),
    "ENV PATH=/bin",
    'CMD ["/app/start"]',
  ].join("\n");
  return tar([
    fileEntry("Dockerfile", dockerfile),
    ...archives.map(([name, entries], index) => tarEntry(`${index}-${name}.tar`, entries)),
  ]);
}

function appFiles(reference: string): TarEntry[] {
  const greeting = reference.slice(reference.lastIndexOf("/") + 1).replace(":", " ");
  return [folderEntry("app"), fileEntry("app/start", `#!/bin/sh\necho ${greeting}\n`, 0o755)];
}

function layerFiles(layer: LayerSpec): TarEntry[] {
  const { name, bytes, files = 1, content = "random", seed = name, changedFiles = 0 } = layer;
  const mtime = layer.mtime === undefined ? {} : { mtime: layer.mtime };
  const every = changedFiles === 0 ? Infinity : files / changedFiles;
  const entries: TarEntry[] = [folderEntry(name)];
  for (let index = 0, used = 0; index < files; index++) {
    const size = Math.floor(((index + 1) * bytes) / files) - used;
    used += size;
    const isChanged = Math.floor((index + 1) / every) > Math.floor(index / every);
    const fileSeed = `${seed}/${index}${isChanged ? "/changed" : ""}`;
    entries.push({
      path: `${name}/${String(index).padStart(6, "0")}`,
      type: "file",
      size,
      content: () => makeContent(content, size, fileSeed),
      ...mtime,
    });
  }
  return entries;
}

function tarEntry(path: string, entries: TarEntry[]): TarEntry {
  return { path, type: "file", size: tarSize(entries), content: () => tar(entries) };
}
