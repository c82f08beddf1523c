import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import {
  BytesMessageSchema,
  DiskUsageRequestSchema,
  InfoRequestSchema,
  ListWorkersRequestSchema,
  PruneRequestSchema,
  StatusRequestSchema,
} from "../../../../src/guard/buildkit/gen/control_pb.ts";
import {
  EvaluateRequestSchema,
  PingRequestSchema,
  ReadDirRequestSchema,
  ReadFileRequestSchema,
  ReturnRequestSchema,
  StatFileRequestSchema,
} from "../../../../src/guard/buildkit/gen/gateway_pb.ts";
import { REF, servicesBed, type ServicesBed } from "../../../fixtures/guard/buildkit-services.ts";

async function all(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}

/** Sends these messages on the session of {@link ServicesBed.build}, which stays open. */
async function session(
  { control }: ServicesBed,
  messages: MessageInitShape<typeof BytesMessageSchema>[],
  id = "s1",
): Promise<void> {
  const sent = (async function* () {
    yield* messages;
    await new Promise(() => {});
  })();
  await all(control.session(sent, { headers: { "x-docker-expose-session-uuid": id } }));
}

/** Returns the rule that refuses a call, from its audit line. */
async function ruleOf(bed: ServicesBed, call: Promise<unknown>): Promise<string | undefined> {
  await expect(call).rejects.toBeInstanceOf(ConnectError);
  return bed.entries.at(-1)?.rule;
}

describe("refuses an unknown field in", () => {
  const unknown = <Schema extends DescMessage>(schema: Schema) =>
    Object.assign(create(schema), { $unknown: [{ no: 99, wireType: 0, data: new Uint8Array([1]) }] });
  test.for<[string, (bed: ServicesBed) => Promise<unknown>]>([
    ["Info", ({ control }) => control.info(unknown(InfoRequestSchema))],
    ["Session", (bed) => session(bed, [unknown(BytesMessageSchema)])],
    ["Ping", ({ gateway, headers }) => gateway.ping(unknown(PingRequestSchema), headers)],
    ["Evaluate", ({ gateway, headers }) => gateway.evaluate(unknown(EvaluateRequestSchema), headers)],
    ["Status", ({ control }) => all(control.status(unknown(StatusRequestSchema)))],
    ["ListWorkers", ({ control }) => control.listWorkers(unknown(ListWorkersRequestSchema))],
    ["DiskUsage", ({ control }) => control.diskUsage(unknown(DiskUsageRequestSchema))],
    ["Prune", ({ control }) => all(control.prune(unknown(PruneRequestSchema)))],
    ["Return", ({ gateway, headers }) => gateway.return(unknown(ReturnRequestSchema), headers)],
    ["ReadFile", ({ gateway, headers }) => gateway.readFile(unknown(ReadFileRequestSchema), headers)],
    ["ReadDir", ({ gateway, headers }) => gateway.readDir(unknown(ReadDirRequestSchema), headers)],
    ["StatFile", ({ gateway, headers }) => gateway.statFile(unknown(StatFileRequestSchema), headers)],
  ])("%s", async ([, call]) => {
    const bed = servicesBed();
    expect(await ruleOf(bed, call(bed))).toBe("grpc.unknown-field");
  });
});

describe("calls about the cache", () => {
  test.for<[rule: string, call: (bed: ServicesBed) => Promise<unknown>]>([
    ["build.prune-filter", ({ control }) => control.diskUsage({ filter: ["id==x"] })],
    ["build.prune-filter", ({ control }) => control.diskUsage({ ageLimit: 1n })],
    ["build.prune-filter", ({ control }) => all(control.prune({ filter: ["", "id==x"] }))],
    ["build.prune-space", ({ control }) => all(control.prune({ maxUsedSpace: 1n }))],
    ["build.prune-space", ({ control }) => all(control.prune({ minFreeSpace: 1n }))],
  ])("apply the rule %s", async ([rule, call]) => {
    const bed = servicesBed();
    expect(await ruleOf(bed, call(bed))).toBe(rule);
  });
});

describe("a build", () => {
  test("is not found before it has begun or after its end", async () => {
    const bed = servicesBed();
    vi.spyOn(AbortSignal, "timeout").mockReturnValueOnce(AbortSignal.abort());
    expect(await ruleOf(bed, bed.gateway.ping({}, bed.headers))).toBe("build.unknown");
    vi.spyOn(AbortSignal, "timeout").mockReturnValueOnce(AbortSignal.abort());
    expect(await ruleOf(bed, all(bed.control.status({ ref: REF })))).toBe("build.unknown");
    const building = bed.build();
    await bed.gateway.ping({}, bed.headers);
    await bed.gateway.return({}, bed.headers);
    await building;
    expect(await ruleOf(bed, bed.gateway.ping({}, bed.headers))).toBe("build.unknown");
  });

  test("is refused if a build with its ID is running", async () => {
    const bed = servicesBed();
    const building = bed.build();
    await bed.gateway.ping({}, bed.headers);
    expect(await ruleOf(bed, bed.build())).toBe("build.twice");
    await bed.gateway.return({}, bed.headers);
    await building.catch(() => {});
  });

  test("allows its client to read only its own files", async () => {
    const bed = servicesBed();
    const building = bed.build();
    await bed.gateway.solve({ frontend: "dockerfile.v0" }, bed.headers);
    for (const ref of ["r2", ""]) {
      expect(await ruleOf(bed, bed.gateway.readFile({ ref, filePath: "/x" }, bed.headers))).toBe("build.ref");
      expect(await ruleOf(bed, bed.gateway.readDir({ ref, dirPath: "/" }, bed.headers))).toBe("build.ref");
      expect(await ruleOf(bed, bed.gateway.statFile({ ref, path: "/" }, bed.headers))).toBe("build.ref");
      expect(await ruleOf(bed, bed.gateway.evaluate({ ref }, bed.headers))).toBe("build.ref");
    }
    const { data } = await bed.gateway.readFile({ ref: "r1", filePath: "/x" }, bed.headers);
    expect(Buffer.from(data).toString()).toBe("content");
    await bed.gateway.return({}, bed.headers);
    await building;
  });

  test("creates an image only from a result of its Dockerfile, because an empty image would have no tenant", async () => {
    const bed = servicesBed();
    const building = bed.build([{ type: "image" }]);
    await bed.gateway.ping({}, bed.headers);
    expect(await ruleOf(bed, bed.gateway.return({}, bed.headers))).toBe("result.empty");
    await bed.gateway.solve({ frontend: "dockerfile.v0" }, bed.headers);
    await bed.gateway.return({ result: { result: { case: "ref", value: { id: "r1" } } } }, bed.headers);
    await building;
    expect(bed.taken).toEqual(["sha256:built"]);
  });

  test("sends one file at a time, and the next when its client has the answer", async () => {
    const waiting: (() => void)[] = [];
    const readFile = async () => {
      await new Promise<void>((resolve) => void waiting.push(resolve));
      return { data: Buffer.from("content") };
    };
    const bed = servicesBed({ bridge: { readFile, readDir: readFile as never } });
    const building = bed.build();
    await bed.gateway.solve({ frontend: "dockerfile.v0" }, bed.headers);
    const cancelled = new AbortController();
    const reads = [
      bed.gateway.readFile({ ref: "r1", filePath: "/x" }, bed.headers),
      bed.gateway.readFile({ ref: "r1", filePath: "/x" }, { ...bed.headers, signal: cancelled.signal }),
      bed.gateway.readDir({ ref: "r1", dirPath: "/" }, bed.headers),
    ];
    await vi.waitFor(() => expect(waiting).toHaveLength(1));
    cancelled.abort();
    await expect(reads[1]).rejects.toBeInstanceOf(ConnectError);
    await bed.gateway.ping({}, bed.headers);
    expect(waiting).toHaveLength(1);
    waiting[0]?.();
    await vi.waitFor(() => expect(waiting).toHaveLength(2));
    waiting[1]?.();
    await Promise.all([reads[0], reads[2]]);
    await bed.gateway.return({}, bed.headers);
    await building;
  });

  test("may request the steps of a Dockerfile at most a hundred times", async () => {
    const bed = servicesBed();
    const building = bed.build();
    const solve = async (): Promise<unknown> => bed.gateway.solve({ frontend: "dockerfile.v0" }, bed.headers);
    for (let count = 0; count < 100; count++) await solve();
    expect(await ruleOf(bed, solve())).toBe("build.results");
    await bed.gateway.return({}, bed.headers);
    await building;
  });

  test("is refused if BuildKit does not pull a registry's image from the registry", async () => {
    const bed = servicesBed({ policy: { pulls: ["r.example/*"] }, base: "r.example/a:1" });
    const building = bed.build();
    expect(await ruleOf(bed, bed.gateway.solve({ frontend: "dockerfile.v0" }, bed.headers))).toBe("base.registry");
    await bed.gateway.return({}, bed.headers);
    await building;
  });
});

describe("a session that exceeds the limit of contexts", () => {
  const parts = [{ data: new Uint8Array(600) }, { data: new Uint8Array(600) }];

  test("is refused, and ends its build with the reason", async () => {
    const bed = servicesBed();
    const building = bed.build();
    building.catch(() => {});
    await bed.gateway.ping({}, bed.headers);
    await expect(session(bed, parts)).rejects.toThrow("the context is larger than the allowed 1000 bytes");
    await expect(building).rejects.toThrow("the context is larger than the allowed 1000 bytes");
    expect(bed.entries.map(({ rule }) => rule)).toEqual(["grpc.ping", "context.size", "context.size"]);
  });

  test("ends builds that use it for one of their contexts", async () => {
    const bed = servicesBed();
    const building = bed.build();
    building.catch(() => {});
    const frontendOpt = { "local-sessionid:more": "s2" };
    await bed.gateway.solve({ frontend: "dockerfile.v0", frontendOpt }, bed.headers);
    await expect(session(bed, parts, "s2")).rejects.toThrow("the context is larger");
    await expect(building).rejects.toThrow("the context is larger");
  });

  test("ends no build of another session", async () => {
    const bed = servicesBed();
    const building = bed.build();
    await bed.gateway.ping({}, bed.headers);
    await expect(session(bed, parts, "s2")).rejects.toThrow("the context is larger");
    await bed.gateway.return({}, bed.headers);
    await expect(building).resolves.toBeDefined();
  });

  test("ends a build over HTTP with the reason", async () => {
    const bed = servicesBed({ bridge: { solve: async () => new Promise(() => {}) } });
    const building = bed.solve();
    building.catch(() => {});
    await vi.waitFor(() => expect(bed.requests.solve).toHaveLength(1));
    await expect(session(bed, parts)).rejects.toThrow("the context is larger");
    await expect(building).rejects.toMatchObject({ rule: "context.size" });
  });
});

describe("an error of the engine", () => {
  const denied = () => {
    throw new ConnectError('source "docker-image://docker.io/library/host:1" denied by policy', Code.Unknown);
  };

  test("about the source policy becomes a refusal by the rule of bases", async () => {
    const bed = servicesBed({ bridge: { solve: denied } });
    const building = bed.build();
    expect(await ruleOf(bed, bed.gateway.solve({ frontend: "dockerfile.v0" }, bed.headers))).toBe("base.refused");
    await bed.gateway.return({}, bed.headers);
    await building;
  });

  test("becomes the failure of a build over HTTP, unless the guard has refused a base", async () => {
    const fails = servicesBed({
      bridge: {
        solve: () => {
          throw new ConnectError("process did not complete", Code.Unknown);
        },
      },
    });
    await expect(fails.solve()).rejects.toMatchObject({ rule: "build.failed", message: "process did not complete" });
    const foreign = servicesBed({ base: "docker.io/library/host:1" });
    await expect(foreign.solve()).rejects.toMatchObject({ rule: "base.refused" });
  });

  test("on a session becomes the error of a lost connection", async () => {
    const bed = servicesBed();
    const headers = {
      "x-docker-expose-session-uuid": "s1",
      "x-docker-expose-session-grpc-method": "/moby.filesync.v1.FileSync/DiffCopy",
    };
    const messages = (async function* () {
      await new Promise(() => {});
      yield {};
    })();
    const session = all(bed.control.session(messages, { headers }));
    await vi.waitFor(() => expect(bed.sessions).toHaveLength(1));
    bed.sessions[0]?.destroy(new Error("the engine is down"));
    await expect(session).rejects.toMatchObject({ code: Code.Unavailable });
  });

  test("from an old engine does not disclose which image was refused", async () => {
    const bed = servicesBed({ version: "20.10.24", base: "docker.io/library/host:1" });
    const building = bed.build();
    expect(await ruleOf(bed, bed.gateway.solve({ frontend: "dockerfile.v0" }, bed.headers))).toBe("base.undisclosed");
    await bed.gateway.return({}, bed.headers);
    await building;
  });
});

test.for([{ "x-docker-expose-session-name": "a".repeat(2000) }, { "x-docker-expose-session-sharedkey": "a\u00e9" }])(
  "refuses a session whose texts are long or not printable",
  async (texts) => {
    const bed = servicesBed();
    const headers = { "x-docker-expose-session-uuid": REF, ...texts };
    const session = all(bed.control.session((async function* () {})(), { headers }));
    expect(await ruleOf(bed, session)).toBe("session.text");
  },
);
