import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { extract, pack } from "tar-stream";
import type { ApiObject, BackendImages } from "../../src/guard/backend.ts";
import type { Caller } from "../../src/guard/caller.ts";
import { EngineApi } from "../../src/guard/engine/engine-api.ts";
import { createImages } from "../../src/guard/images/create-images.ts";
import { createOwnImages } from "../../src/guard/images/create-own-images.ts";
import { removeTenantImages } from "../../src/guard/images/remove-tenant-images.ts";
import type { OwnImages } from "../../src/guard/images/own-images.ts";
import { openLedger } from "../../src/guard/ledger/open-ledger.ts";
import type { Ledger } from "../../src/guard/ledger/ledger.ts";
import { createLimits } from "../../src/guard/limits/create-limits.ts";
import { callerOf, tenantOf } from "../fixtures/guard/tenants.ts";

export const anyList = {
  all: false,
  digests: false,
  references: [],
  labels: [],
  before: [],
  since: [],
  until: [],
} as const;
export const plainly = { force: false, noPrune: false };

/** Two tenants of an engine, and the host. */
export interface Scene extends AsyncDisposable {
  engine: EngineApi;
  own: OwnImages;
  images: BackendImages;
  ledger: Ledger;
  a: Caller;
  b: Caller;
  /** The requests that the pusher received */
  pushed: unknown[];
  /** Creates an image like a build of the tenant; undefined: an image of the host. Returns its ID. */
  make(caller: Caller | undefined, name: string, content: string): Promise<string>;
  /** Runs the classic builder. Returns the IDs after each step. */
  build(caller: Caller, name: string, dockerfile: string): Promise<string[]>;
  /** Names of all images of the engine */
  names(): Promise<string[]>;
}

const signal = new AbortController().signal;

export async function openScene(host: string): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), "guard-images-"));
  const engine = await EngineApi.prepare(host, {});
  const ledger = await openLedger(folder);
  const limits = createLimits(ledger);
  const own = createOwnImages({ engine, ledger, limits });
  const pushed: unknown[] = [];
  const push = async (...[, image, reference]: Parameters<Parameters<typeof createImages>[0]["push"]["push"]>) => {
    await Promise.resolve();
    pushed.push([image.id, reference.given]);
  };
  const images = createImages({ engine, own, ledger, push: { push } });
  const [a, b] = [callerOf(tenantOf("scene-a")), callerOf(tenantOf("scene-b"))];
  const send = async (path: string, query: [string, string][], body: Buffer): Promise<string> => {
    const headers = { "content-type": "application/x-tar" };
    return await text((await engine.request({ method: "POST", path, query, body, headers, signal })).body);
  };
  return {
    engine,
    own,
    images,
    ledger,
    a,
    b,
    pushed,
    async make(caller, name, content) {
      const label = `LABEL docker-over-ssh.guard.tenant=${caller?.tenant.id ?? "host"}`;
      const [repo = "", tag = ""] = name.split(/:(?=[^:]*$)/);
      const query: [string, string][] = [
        ["fromSrc", "-"],
        ["repo", repo],
        ["tag", tag],
        ["changes", label],
      ];
      const answer = await send("/images/create", query, await tarOf({ content }));
      const id = /sha256:[0-9a-f]{64}/.exec(answer)?.[0] ?? "";
      if (caller !== undefined) await own.take(caller.tenant, id, signal);
      return id;
    },
    async build({ tenant }, name, dockerfile) {
      const query: [string, string][] = [
        ["t", name],
        ["labels", JSON.stringify({ "docker-over-ssh.guard.tenant": tenant.id })],
        ["nocache", "1"],
      ];
      const answer = await send("/build", query, await tarOf({ Dockerfile: dockerfile, file: "content" }));
      const short = [...answer.matchAll(/---\\u003e ([0-9a-f]{12})\\n/g)].map(([, id = ""]) => id);
      const all = (await engine.json({ method: "GET", path: "/images/json", query: [["all", "1"]], signal })) as {
        Id: string;
      }[];
      return short.map((id) => all.find(({ Id }) => Id.startsWith(`sha256:${id}`))?.Id ?? "");
    },
    async names() {
      const found = await engine.json({ method: "GET", path: "/images/json", signal });
      return (found as { RepoTags: string[] | null }[]).flatMap(({ RepoTags }) => RepoTags ?? []).toSorted();
    },
    async [Symbol.asyncDispose]() {
      for (const { tenant } of [a, b]) await removeTenantImages({ engine, ledger }, tenant.id, signal);
      await limits[Symbol.asyncDispose]();
      await ledger[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

async function tarOf(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  return await buffer(tar);
}

/** Returns the contents of the small files of a tar, by path, and the sizes of all files. */
export async function filesOf(
  tar: Readable,
): Promise<{ texts: Record<string, string>; sizes: Record<string, number> }> {
  const [texts, sizes]: [Record<string, string>, Record<string, number>] = [{}, {}];
  const parser = extract();
  tar.pipe(parser);
  tar.on("error", (error) => parser.destroy(error));
  for await (const entry of parser) {
    const content = await buffer(entry);
    sizes[entry.header.name] = content.length;
    if (content.length < 10_000) texts[entry.header.name] = content.toString();
  }
  return { texts, sizes };
}

export function tagsOf(listed: readonly ApiObject[]): string[] {
  return listed.flatMap(({ RepoTags }) => RepoTags as string[]).toSorted();
}

/** Names of the host's and of the tenant `scene-b`'s images, which the tenant `scene-a` never sees. */
export function engineNameOf({ tenant }: Caller, name: string): string {
  return `guard.internal/${tenant.id}/docker.io/library/${name}`;
}
