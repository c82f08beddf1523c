import { ConnectError } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import { Refusal } from "../../../../src/guard/refusal.ts";
import { servicesBed, type ServicesOptions } from "../../../fixtures/guard/buildkit-services.ts";

const FRONTEND = { frontend: "dockerfile.v0", frontendOpt: { filename: "Dockerfile" } };

async function built(
  options: ServicesOptions = {},
  exporters: { type: string; attrs?: Record<string, string> }[] = [],
) {
  const bed = servicesBed(options);
  const building = bed.build(exporters);
  await bed.gateway.solve(FRONTEND, bed.headers);
  await bed.gateway.return({ result: { result: { case: "ref", value: { id: "r1" } } } }, bed.headers);
  await building;
  return bed;
}

describe("the guard requests from the engine", () => {
  test("a build with the guard's ID, attributes and source policy", async () => {
    const { requests } = await built();
    const [solve] = requests.solve;
    expect(solve?.ref).not.toBe("ref1");
    expect(solve?.frontend).toBe("");
    expect(solve?.frontendAttrs).toMatchObject({ "label:docker-over-ssh.guard.tenant": "ta" });
    expect(solve?.sourcePolicy?.rules.length).toBeGreaterThan(3);
    expect((await built({ version: "20.10.24" })).requests.solve[0]?.sourcePolicy).toBeUndefined();
  });

  test("the steps of a Dockerfile, without running them before they are checked", async () => {
    const [frontend] = (await built()).requests.frontend;
    expect(frontend).toMatchObject({ frontend: "dockerfile.v0", evaluate: false });
    expect(frontend?.frontendOpt).toMatchObject({
      filename: "Dockerfile",
      "label:docker-over-ssh.guard.tenant": "ta",
      "build-arg:BUILDKIT_CACHE_MOUNT_NS": "guard-ta",
      "add-hosts": "cache-ta.guard.internal=127.0.0.1",
    });
  });
});

test("refuses steps without the tenant's cache key, unless tenants share their cache", async () => {
  const step: ServicesOptions["step"] = { case: "exec", value: { meta: {} } };
  await expect(built({ step, policy: { sharesCache: true } })).resolves.toBeDefined();
  const bed = servicesBed({ step });
  bed.build().catch(() => {});
  await expect(bed.gateway.solve(FRONTEND, bed.headers)).rejects.toBeInstanceOf(ConnectError);
  expect(bed.entries.at(-1)?.rule).toBe("cache.salt");
});

test("records an image on the engine as the tenant's, but not an output to the client", async () => {
  expect((await built({}, [{ type: "moby", attrs: { name: "app" } }])).taken).toEqual(["sha256:built"]);
  expect((await built({}, [{ type: "local" }])).taken).toEqual([]);
});

test("does not find a build by the ID that another tenant uses", async () => {
  const bed = servicesBed();
  const building = bed.build();
  await bed.gateway.solve(FRONTEND, bed.headers);
  vi.spyOn(AbortSignal, "timeout").mockReturnValueOnce(AbortSignal.abort());
  await expect(bed.gatewayOf("tb").readFile({ ref: "r1", filePath: "/" }, bed.headers)).rejects.toThrow(
    "no such build",
  );
  await bed.gateway.return({}, bed.headers);
  await building;
});

test("reports the reason when a quota ends a build", async () => {
  const quota = new AbortController();
  const bed = servicesBed({ quota: quota.signal });
  const building = bed.build();
  await bed.gateway.ping({}, bed.headers);
  quota.abort(new Refusal("quota.build-time", "the build time is used up"));
  await expect(building).rejects.toThrow("the build time is used up");
  expect(bed.entries.at(-1)?.rule).toBe("quota.build-time");
});

describe("the tenant gets", () => {
  test("the features of a builder that it can use, without properties of the host", async () => {
    const labels = { hostname: "secret", "org.mobyproject.buildkit.worker.snapshotter": "overlayfs" };
    const bed = servicesBed({
      bridge: { ping: () => ({ frontendApiCaps: [{ ID: "gateway.exec" }, { ID: "solve.base" }] }) },
      control: { listWorkers: () => ({ record: [{ ID: "w", labels }] }) },
    });
    const building = bed.build();
    const { frontendApiCaps } = await bed.gateway.ping({}, bed.headers);
    expect(frontendApiCaps.map(({ ID }) => ID)).toEqual(["solve.base"]);
    const { record } = await bed.control.listWorkers({});
    expect(record[0]?.labels).toEqual({ "org.mobyproject.buildkit.worker.snapshotter": "overlayfs" });
    await bed.gateway.return({}, bed.headers);
    await building;
  });

  test.each([
    ["28.5.0", "not found"],
    ["20.10.24", ""],
  ])("the progress of a build with its own names, from Docker %s", async (version, error) => {
    const names = [
      "naming to guard.internal/ta/docker.io/library/app:1",
      "[internal] load metadata for docker.io/library/host:1",
    ];
    const bed = servicesBed({
      version,
      control: {
        async *status() {
          yield { vertexes: names.map((name) => ({ name, error: "not found" })) };
        },
      },
    });
    const building = bed.build();
    await bed.gateway.ping({}, bed.headers);
    for await (const { vertexes } of bed.control.status({ ref: "ref1" })) {
      expect(vertexes.map(({ name }) => name)).toEqual(["naming to app:1", names[1]]);
      expect(vertexes[1]?.error).toBe(error);
    }
    await bed.gateway.return({}, bed.headers);
    await building;
  });
});
