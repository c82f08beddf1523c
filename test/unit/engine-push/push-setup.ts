import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { DryPushOptions, SpooledLayer } from "../../../src/engine-push/dry-push.ts";
import type { EmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { endRegistry, openRegistry } from "../registry/embedded/client.ts";
import { image, layer } from "../registry/embedded/test-images.ts";
import { graphdriver, pushingEngine, type PushingEngine } from "./pushing-engine.ts";

export const [base, libraries, top] = [layer("base"), layer("libraries"), layer("top")];
export const amd64 = image([base, libraries, top]);
/** The layers, each with the digests by which a graph driver knows it. */
export const withDigests = [base, libraries, top].map((it) => ({ ...it, known: [it.digest] }));

/** A registry for one test, and the options of its pushes. Disposal checks that the registry leaves no file. */
export interface PushSetup extends AsyncDisposable {
  /** The parent folder of the spool. */
  folder: string;
  registry: EmbeddedRegistry;
  options: DryPushOptions;
  /** The lines that --verbose prints. */
  details: string[];
  /** Returns the files in the spool. */
  spooled(): Promise<string[]>;
}

export async function openPushSetup(): Promise<PushSetup> {
  const folder = await mkdtemp(join(tmpdir(), "embedded-"));
  const registry = await openRegistry(folder);
  const details: string[] = [];
  const { signal } = new AbortController();
  return {
    folder,
    registry,
    details,
    options: { registry, runIds: [newRunId()], signal, onDetail: (detail) => details.push(detailText(detail)) },
    spooled: async () => await readdir(join(folder, (await readdir(folder))[0] ?? "")),
    [Symbol.asyncDispose]: async () => await endRegistry(registry, folder),
  };
}

/** An engine with a graph driver, whose image ID is the config's digest. */
export function graphdriverEngine(layers: Parameters<typeof graphdriver>[0], packed = layers): PushingEngine {
  return pushingEngine(graphdriver(layers, packed), { id: image(layers).config.digest });
}

/** Counts the uploads of an engine. */
export function uploads({ sent }: PushingEngine): number {
  return sent.filter((line) => line.startsWith("POST")).length;
}

export async function contentOf(spooledLayer: SpooledLayer | undefined): Promise<Buffer | undefined> {
  return spooledLayer && (await buffer(await spooledLayer.open()));
}
