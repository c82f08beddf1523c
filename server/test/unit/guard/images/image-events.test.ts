import { expect, test } from "vitest";
import { a, idOf, Labels, nameOf, useImagesBed } from "../../../fixtures/guard/images-bed.ts";

const bed = useImagesBed();

test("omits events of others, and events of an own image with somebody else's name", async () => {
  await bed.ledger.change("a", (record) => void record.images.push({ id: idOf("7"), created: 1 }));
  const event = (Action: string, ID: string, Attributes: object, Type = "image"): string =>
    `${JSON.stringify({ Type, Action, id: ID, from: "x", Actor: { ID, Attributes }, time: 1, x: 1 })}\n`;
  bed.engine.body = Buffer.from(
    [
      event("tag", idOf("1"), { name: nameOf("a", "app:v1"), ...Labels }),
      event("tag", idOf("1"), { name: "host:v1", ...Labels }),
      event("tag", idOf("2"), { name: nameOf("b", "app:v1") }),
      event("pull", "host:v1", { name: "host" }),
      event("delete", idOf("1"), { name: idOf("1") }),
      event("delete", idOf("7"), { name: idOf("7") }),
      event("delete", idOf("8"), { name: idOf("8") }),
      event("create", idOf("7"), { name: idOf("7") }, "container"),
    ].join(""),
  );
  const seen = async (filters: Record<string, string[]>): Promise<unknown[]> => {
    const found: unknown[] = [];
    for await (const shown of bed.images.events(a, { filters })) found.push(shown);
    return found;
  };
  const all = await seen({});
  expect(all).toEqual([
    {
      Type: "image",
      Action: "tag",
      id: idOf("1"),
      Actor: { ID: idOf("1"), Attributes: { name: "app:v1", ...Labels } },
      time: 1,
    },
    expect.objectContaining({ Action: "delete", id: idOf("1") }),
    expect.objectContaining({ Action: "delete", id: idOf("7") }),
  ]);
  expect(await seen({ event: ["tag"] })).toHaveLength(1);
  expect(await seen({ image: ["app"] })).toHaveLength(1);
  expect(await seen({ type: ["container"] })).toEqual([]);
  await expect(seen({ x: ["y"] })).rejects.toMatchObject({ rule: "events.filter" });
});

test("stops reading an event without an end", async () => {
  bed.engine.body = Buffer.alloc(5 * 1024 * 1024, "x");
  const events = bed.images.events(a, { filters: {} })[Symbol.asyncIterator]();
  await expect(events.next()).rejects.toMatchObject({ rule: "events.size" });
});
