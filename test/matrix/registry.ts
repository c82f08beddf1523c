import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { startInside } from "../testbed/machine.ts";
import { systemPath } from "../testbed/programs.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { until } from "../testbed/wait.ts";
import { sha256, type Image } from "./case-image.ts";

const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG = "application/vnd.docker.container.image.v1+json";
const LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** A registry on an engine's machine. It ends with the machine. */
export interface Registry {
  /** The registry's host for the engine: `127.0.0.1:PORT`, which engines trust without TLS. */
  host: string;
  /** Uploads an image with gzip layers. */
  put(image: Image): Promise<void>;
  /** Returns config digest and number of layers of an image. Fails if a blob is missing. */
  look(name: string): Promise<{ configDigest: string; layers: number }>;
}

/** Starts Debian's docker-registry as a process, because the engine has no image of it. */
export async function startRegistry(bed: Testbed, side: "near" | "far", name: string): Promise<Registry> {
  const { machines } = bed.description;
  if ("why" in machines) throw new Error(machines.why);
  const folder = join(bed.folder, `registry-${side}-${name}`);
  mkdirSync(folder);
  const settings = join(folder, "settings.yml");
  // The near machine shares the network of the tests. The far machine is reached through the wire.
  const address = side === "near" ? "127.0.0.1" : machines.wire.farAddress;
  const port = await freePort();
  writeFileSync(
    settings,
    `version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: ${folder}/data } }
http: { addr: "${side === "near" ? address : "0.0.0.0"}:${port}" }
`,
  );
  const log = join(folder, "log");
  const args = ["serve", settings];
  const { ended } = startInside(machines[side], { command: "docker-registry", args, path: systemPath(), log });
  const url = `http://${address}:${port}/v2/`;
  await until(`a registry answers on the ${side} machine`, async () => {
    const why = ended();
    if (why) throw new Error(`${why}: see ${log}`);
    return (await fetch(url).catch(() => undefined))?.ok ?? false;
  });
  return {
    host: `127.0.0.1:${port}`,
    put: async (image) => await put(url, image),
    look: async (name) => await look(url, name),
  };
}

/** Returns a port that is free on this machine, and therefore also on a new test machine. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function put(url: string, image: Image): Promise<void> {
  const [repository, tag] = image.name.split(":");
  const blobs = image.layers.map((layer) => ({ mediaType: LAYER, bytes: layer.gzip() }));
  const [config, ...layers] = await Promise.all(
    [{ mediaType: CONFIG, bytes: image.config }, ...blobs].map(async ({ mediaType, bytes }) => {
      const digest = sha256(bytes);
      const { headers } = await ask(`${url}${repository}/blobs/uploads/`, { method: "POST" });
      const location = new URL(headers.get("location") ?? "", url);
      location.searchParams.set("digest", digest);
      await ask(location, { method: "PUT", body: new Uint8Array(bytes) });
      return { mediaType, digest, size: bytes.length };
    }),
  );
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config, layers });
  const headers = { "content-type": MANIFEST };
  await ask(`${url}${repository}/manifests/${tag}`, { method: "PUT", body: manifest, headers });
}

async function look(url: string, name: string): Promise<{ configDigest: string; layers: number }> {
  const [repository, tag] = name.split(":");
  const headers = { accept: `${MANIFEST}, ${OCI_MANIFEST}` };
  const answer = await ask(`${url}${repository}/manifests/${tag}`, { headers });
  const { config, layers } = (await answer.json()) as { config: { digest: string }; layers: { digest: string }[] };
  for (const { digest } of [config, ...layers]) await ask(`${url}${repository}/blobs/${digest}`, { method: "HEAD" });
  return { configDigest: config.digest, layers: layers.length };
}

async function ask(url: string | URL, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init);
  if (!answer.ok) throw new Error(`${init.method ?? "GET"} ${url.toString()}: ${answer.status} ${await answer.text()}`);
  return answer;
}
