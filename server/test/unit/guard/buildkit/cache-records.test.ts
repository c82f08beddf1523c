import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import type { GrpcConnection } from "docker-over-ssh/builds";
import { describe, expect, onTestFinished, test } from "vitest";
import { createCacheRecords, type CacheRecords } from "../../../../src/guard/buildkit/cache-records.ts";
import { selectRecords } from "../../../../src/guard/buildkit/choose-records.ts";
import { Control, UsageRecordSchema, type UsageRecord } from "../../../../src/guard/buildkit/gen/control_pb.ts";
import { openLedger } from "../../../../src/guard/ledger/open-ledger.ts";

const signal = new AbortController().signal;
const ALL = { all: true, filters: {} };

interface Scene {
  records: CacheRecords;
  connection: GrpcConnection;
  /** IDs that the engine has */
  ids: Set<string>;
  inUse: Set<string>;
  /** Called before the engine returns its records */
  onList: () => void;
  /** IDs that the ledger has */
  written: (tenant: string) => readonly string[];
}

async function openScene(): Promise<Scene> {
  const ids = new Set(["old"]);
  const inUse = new Set<string>();
  const transport = createRouterTransport(({ service }) => {
    service(Control, {
      diskUsage() {
        scene.onList();
        return { record: [...ids].map((ID) => ({ ID, inUse: inUse.has(ID) })) };
      },
      async *prune({ filter }) {
        for (const ID of ids) {
          if (!filter.includes(`id=="${ID}"`) || inUse.has(ID)) continue;
          ids.delete(ID);
          yield { ID, size: 5n };
        }
      },
    });
  });
  const connection: GrpcConnection = { transport, isClosed: false, [Symbol.dispose]: () => {} };
  const ledger = await openLedger(mkdtempSync(join(tmpdir(), "cache-records-")));
  onTestFinished(async () => ledger[Symbol.asyncDispose]());
  const records = createCacheRecords({ engine: { grpc: async () => connection }, ledger, signal });
  const written: Scene["written"] = (tenant) => ledger.read(tenant).cacheRecords;
  const scene: Scene = { records, connection, ids, inUse, onList: () => {}, written };
  return scene;
}

async function build({ records, connection, ids }: Scene, tenant: string, ...created: string[]): Promise<void> {
  const ended = records.building(tenant, connection);
  // The engine answers this after the guard's own request.
  await createClient(Control, connection.transport).diskUsage({});
  for (const id of created) ids.add(id);
  ended[Symbol.dispose]();
  await records.list(tenant, signal);
}

describe("cache records", () => {
  test("that appear while one tenant builds belong to that tenant", async () => {
    const scene = await openScene();
    await build(scene, "ta", "a1", "a2");
    await build(scene, "tb", "b1");
    await build(scene, "ta", "a3");
    expect(scene.written("ta")).toEqual(["a1", "a2", "a3"]);
    expect(scene.written("tb")).toEqual(["b1"]);
    expect((await scene.records.list("ta", signal)).map(({ ID }) => ID)).toEqual(["a1", "a2", "a3"]);
  });

  test("that appear while two tenants build belong to nobody", async () => {
    const scene = await openScene();
    const ended = scene.records.building("tb", scene.connection);
    await build(scene, "ta", "x");
    ended[Symbol.dispose]();
    await scene.records.list("ta", signal);
    expect([scene.written("ta"), scene.written("tb")]).toEqual([[], []]);
    await build(scene, "ta", "a1");
    expect(scene.written("ta")).toEqual(["a1"]);
  });

  test("of two simultaneous builds of one tenant belong to the tenant", async () => {
    const scene = await openScene();
    const ended = scene.records.building("ta", scene.connection);
    await build(scene, "ta", "a1");
    ended[Symbol.dispose]();
    await scene.records.list("ta", signal);
    expect(scene.written("ta")).toEqual(["a1"]);
  });

  test("of one tenant are removed, those in use later, and those of others stay", async () => {
    const scene = await openScene();
    await build(scene, "ta", "a1", "a2");
    await build(scene, "tb", "b1");
    scene.inUse.add("a2");
    const pruned = await scene.records.prune("ta", ALL, signal);
    expect(pruned.map(({ ID }) => ID)).toEqual(["a1"]);
    expect([...scene.ids]).toEqual(["old", "a2", "b1"]);
    expect(scene.written("ta")).toEqual(["a2"]);
    scene.inUse.clear();
    await scene.records.prune("ta", ALL, signal);
    expect([...scene.ids]).toEqual(["old", "b1"]);
    expect(scene.written("ta")).toEqual([]);
  });

  test("that an aborted build still holds are recorded with the IDs that they have afterwards", async () => {
    const scene = await openScene();
    const ended = scene.records.building("ta", scene.connection);
    await createClient(Control, scene.connection.transport).diskUsage({});
    scene.ids.add("held");
    scene.inUse.add("held");
    let lists = 0;
    scene.onList = () => {
      if (++lists < 2) return;
      scene.ids.delete("held");
      scene.ids.add("files");
    };
    ended[Symbol.dispose]();
    await scene.records.list("ta", signal);
    expect(scene.written("ta")).toEqual(["files"]);
  });

  test("that the engine has removed are forgotten with the next build", async () => {
    const scene = await openScene();
    await build(scene, "ta", "a1");
    scene.ids.delete("a1");
    await build(scene, "ta", "a2");
    expect(scene.written("ta")).toEqual(["a2"]);
  });
});

describe("selectRecords", () => {
  const record = (ID: string, used: number, more: { recordType?: string } = {}): UsageRecord =>
    create(UsageRecordSchema, { ID, size: 10n, lastUsedAt: timestampFromMs(used), ...more });
  const own = [record("new", 9_000), record("old", 1_000, { recordType: "regular" }), record("mid", 5_000)];

  test.for<[chosen: string[], filters: Record<string, string[]>, keepStorage?: number]>([
    [["new", "old", "mid"], {}],
    [["old"], { until: ["6s"] }],
    [["old"], { id: ["ol"] }],
    [["old"], { type: ["regular"] }],
    [[], { type: ["regular"], id: ["new"] }],
    [["old"], {}, 20],
    [["old", "mid"], {}, 19],
    [[], {}, 30],
  ])("returns %s", ([chosen, filters, keepStorage]) => {
    expect(selectRecords(own, { all: true, filters, keepStorage }, 10_000).map(({ ID }) => ID)).toEqual(chosen);
  });

  test("refuses an unknown filter", () => {
    const choose = (): unknown => selectRecords(own, { all: true, filters: { "type!": ["x"] } }, 0);
    expect(choose).toThrow(expect.objectContaining({ rule: "build.prune-filter" }));
  });
});
