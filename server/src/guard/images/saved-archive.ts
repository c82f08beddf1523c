import { Readable, type Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { fullName, IMAGE_NAME, parseReference, REF_NAME } from "docker-over-ssh/builds";
import { extract, pack, type Pack } from "tar-stream";
import { Refusal } from "../refusal.ts";
import { arrayOf, objectOf, textsOf, type Json } from "./json.ts";
import { tenantName } from "./names.ts";

/** Maximum bytes of a file with names, which is enough for some 10,000 images */
const MAX_NAMES_FILE = 16 * 1024 * 1024;

/** The functions that rewrite the files with names in an archive. All other files pass unchanged. */
const FILES: Readonly<Record<string, (tenant: string, content: unknown) => unknown>> = {
  "manifest.json": inManifest,
  repositories: inRepositories,
  "index.json": inIndex,
};

/**
 * Replaces the engine's names with the tenant's names in an archive of `docker save` (Docker's own format, an OCI layout, or both). Omits names of others.
 * Layers are streamed.
 *
 * @param archive owned by the returned stream, which fails if the archive breaks off
 */
export function archiveForTenant(tenant: string, archive: Readable, signal: AbortSignal): Readable {
  return Readable.from(chunksOf(tenant, archive, signal), { objectMode: false });
}

async function* chunksOf(tenant: string, archive: Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
  const written = pack();
  const done = rewrite(tenant, archive, written, signal);
  done.catch(() => {}); // awaited below, unless the reader stops earlier
  try {
    yield* written as AsyncIterable<Buffer>;
    await done;
  } finally {
    archive.destroy();
    written.destroy();
  }
}

async function rewrite(tenant: string, archive: Readable, written: Pack, signal: AbortSignal): Promise<void> {
  const parser = extract();
  const fed = pipeline(archive, parser, { signal });
  fed.catch(() => {}); // the loop also fails
  try {
    for await (const entry of parser) {
      const { header } = entry;
      const change = FILES[header.name];
      if (change === undefined || header.type !== "file") {
        const target = written.entry(header);
        await pipeline(entry, target as unknown as Writable);
        continue;
      }
      if ((header.size ?? 0) > MAX_NAMES_FILE) throw unreadable(`${header.name} has ${header.size} bytes`);
      const content = Buffer.from(JSON.stringify(change(tenant, parsed(header.name, await buffer(entry)))));
      const target = written.entry({ ...header, size: content.length, pax: null }, content);
      void target;
    }
    await fed;
    written.finalize();
  } catch (error) {
    written.destroy(error as Error);
    throw error;
  }
}

function parsed(name: string, content: Buffer): unknown {
  try {
    return JSON.parse(content.toString());
  } catch (error) {
    throw unreadable(`${name} is not JSON`, error);
  }
}

function unreadable(why: string, cause?: unknown): Refusal {
  return new Refusal("engine.archive", `the engine's archive cannot be read: ${why}`, { statusCode: 502, cause });
}

/** Rewrites `[{ "RepoTags": […] }]`. */
function inManifest(tenant: string, content: unknown): unknown {
  return arrayOf(content).map((raw) => {
    const image = objectOf(raw);
    const names = textsOf(image["RepoTags"]).map((name) => tenantName(tenant, name));
    const own = names.filter((name) => name !== undefined);
    return { ...image, RepoTags: own.length === 0 ? null : own };
  });
}

/** Rewrites `{ "NAME": { "TAG": … } }`. */
function inRepositories(tenant: string, content: unknown): unknown {
  const entries = Object.entries(objectOf(content)).map(([repository, tags]): [string | undefined, unknown] => {
    const name = tenantName(tenant, repository);
    return [name?.replace(/:latest$/, ""), tags];
  });
  return Object.fromEntries(entries.filter((entry): entry is [string, unknown] => entry[0] !== undefined));
}

/** Rewrites `{ "manifests": [{ "annotations": … }] }` (OCI image layout). containerd's name of an image is a full name. */
function inIndex(tenant: string, content: unknown): unknown {
  const index = objectOf(content);
  return { ...index, manifests: arrayOf(index["manifests"]).map((raw) => withOwnNames(tenant, objectOf(raw))) };
}

function withOwnNames(tenant: string, manifest: Json): Json {
  const { [IMAGE_NAME]: image, [REF_NAME]: ref, ...others } = objectOf(manifest["annotations"]);
  const own = typeof image === "string" ? tenantName(tenant, image) : undefined;
  const annotations = {
    ...others,
    ...(own !== undefined && { [IMAGE_NAME]: fullName(parseReference(own)) }),
    ...(own !== undefined && typeof ref === "string" && { [REF_NAME]: refOf(tenant, ref) }),
  };
  const { annotations: _, ...rest } = manifest;
  return Object.keys(annotations).length === 0 ? rest : { ...rest, annotations };
}

/** Rewrites a `ref.name`, which is a tag. Some engines write the full name. */
function refOf(tenant: string, ref: string): string {
  const own = tenantName(tenant, ref);
  return own === undefined ? ref : fullName(parseReference(own));
}
