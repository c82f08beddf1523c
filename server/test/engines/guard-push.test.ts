import { parseReference } from "docker-over-ssh/builds";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import type { ApiObject } from "../../src/guard/backend.ts";
import type { Caller } from "../../src/guard/caller.ts";
import { EngineApi } from "../../src/guard/engine/engine-api.ts";
import { openPusher, type RegistryPusher } from "../../src/guard/push/pusher.ts";
import { Refusal } from "../../src/guard/refusal.ts";
import { REGISTRY_USER, startStandInRegistry, type StandInRegistry } from "../fixtures/guard/stand-in-registry.ts";

const QUOTA = 1_500_000;

/** Cases that guard.test.ts lacks: a registry that requires a token, and a quota. */
describe.skipIf(why)(`a guard's push ${why ?? ""}`, () => {
  const name = "push-source:v1";
  let engine: EngineApi;
  let pusher: RegistryPusher;
  let registry: StandInRegistry;
  let id: string;
  let pushed = 0;

  beforeAll(async () => {
    // Random bytes, which gzip does not make smaller.
    const layer = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
    await bed.near.dockerWithInput(
      [tarOf("file", Buffer.concat(Array(16).fill(layer) as Buffer[]))],
      ["import", "-", name],
    );
    engine = await EngineApi.prepare(bed.near.host, {});
    registry = await startStandInRegistry({ auth: "token" });
    const limits = {
      countPushed: (_: unknown, bytes: number) => {
        pushed += bytes;
        if (pushed > QUOTA) throw new Refusal("quota.push-bytes", "no more bytes may be pushed");
      },
    };
    pusher = openPusher({ engine, limits, env: {}, owner: "tests" });
    id = (await bed.near.docker("inspect", "--format", "{{.Id}}", name)).stdout;
  });

  afterAll(async () => {
    await pusher?.[Symbol.asyncDispose]();
    await engine?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await bed.near.docker("rmi", name);
  });

  const push = async (reference: string): Promise<ApiObject[]> => {
    const tenant = { id: "a", policy: { pushes: [`${registry.host}/team/*`] } };
    const caller = { tenant, signal: new AbortController().signal, note: {} } as unknown as Caller;
    const lines: ApiObject[] = [];
    await pusher.push(caller, { id, names: [], created: 0, size: 0 }, parseReference(reference), {
      credentials: REGISTRY_USER,
      onLine: (line) => lines.push(line),
    });
    return lines;
  };

  test("arrives under the tenant's name, and leaves nothing on the engine", async () => {
    const before = await bed.near.listing();
    const lines = await push(`${registry.host}/team/app:v1`);
    expect(lines.at(-1)?.["error"]).toBeUndefined();
    expect(registry.manifests.has("team/app:v1")).toBe(true);
    expect(JSON.stringify(lines)).toContain(`The push refers to repository [${registry.host}/team/app]`);
    expect(JSON.stringify(lines)).not.toContain("docker-over-ssh-guard");
    expect(await bed.near.listing()).toEqual(before);
  });

  test("ends with the reason when the quota is used up", async () => {
    registry.blobs.clear();
    pushed = QUOTA;
    expect((await push(`${registry.host}/team/other:v1`)).at(-1)?.["error"]).toBe("no more bytes may be pushed");
    expect(registry.manifests.has("team/other:v1")).toBe(false);
  });
});

/** Returns a tar with one file (POSIX ustar). */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        0", 148);
  header.write("ustar\u000000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512), Buffer.alloc(1024)]);
}
