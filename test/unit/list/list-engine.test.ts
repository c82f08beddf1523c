import { expect, test } from "vitest";
import type { Engine } from "../../../src/engine/engine.ts";
import { parseHaveList } from "../../../src/have/parse-have-list.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { listEngine } from "../../../src/list/list-engine.ts";
import { outputTo } from "../../../src/output/output.ts";
import { isInHaveSchema } from "../have/have-schema.ts";

const amd64 = { os: "linux", architecture: "amd64" };
const [base, app] = [digestOf("base"), digestOf("app")];

/** Lists an engine with these images. */
async function listOf(images: { names: string[]; diffIds: string[]; platform?: object }[], version = "28.5.2") {
  const engine = {
    info: async () => ({ version, apiVersion: "1.51", store: "graphdriver", platform: amd64 }),
    listImageIds: async () => images.map((_, index) => `${index}`),
    inspectImage: async (id: string) => ({ id, platform: amd64, size: 0, ...images[Number(id)] }),
  } as unknown as Engine;
  return await listEngine(engine, { output: outputTo(() => {}), signal: new AbortController().signal });
}

test("an odd image or a hostile engine does not cause a list that push --have rejects", async () => {
  const good = { names: ["app:v1"], diffIds: [base, app] };
  const list = await listOf(
    [
      good,
      { names: ["odd:v1", "Not A Name"], diffIds: [base], platform: { os: "Linux\u001b[2J", architecture: "x-y" } },
      { names: ["other:v1"], diffIds: ["sha512:00"] },
      { names: ["deep:v1"], diffIds: Array.from({ length: 1001 }, () => base) },
    ],
    "28\u001b]0;title\u0007",
  );
  expect(list.images.map(({ names, platform }) => [...names, platform])).toEqual(
    expect.arrayContaining([
      ["app:v1", "linux/amd64"],
      ["odd:v1", "unknown/unknown"],
    ]),
  );
  expect(list.images).toHaveLength(2);
  expect(list.engine.version).toBe("28");
  expect(isInHaveSchema(list)).toBe(true);
  expect(parseHaveList(Buffer.from(JSON.stringify(list)))).toEqual(list);
});
