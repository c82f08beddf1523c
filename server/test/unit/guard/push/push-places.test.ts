import { expect, test } from "vitest";
import { PushPlaces } from "../../../../src/guard/push/push-places.ts";

const PLACES = 16;
const { signal } = new AbortController();

/** Takes all places of a tenant. */
async function fill(places: PushPlaces, tenant: string): Promise<Disposable[]> {
  return await Promise.all(Array.from({ length: PLACES }, async () => await places.take(tenant, signal)));
}

/** Asks for a place, and notes when it has come. */
function asks(places: PushPlaces, name: string, came: string[], leave = signal): Promise<Disposable> {
  return places.take("a", leave).then((place) => {
    came.push(name);
    return place;
  });
}

test("pushes beyond the places of their tenant wait in their order, and those of another tenant do not", async () => {
  const places = new PushPlaces();
  const taken = await fill(places, "a");
  const came: string[] = [];
  const first = asks(places, "first", came);
  const second = asks(places, "second", came);
  using _other = await places.take("b", signal);
  expect(came).toEqual([]);
  taken[0]?.[Symbol.dispose]();
  await first;
  expect(came).toEqual(["first"]);
  taken[1]?.[Symbol.dispose]();
  await second;
  expect(came).toEqual(["first", "second"]);
});

test.each([
  ["while it waits, takes no place", false],
  ["as it gets its place, gives it to the next", true],
])("a push that is broken off %s", async (_, getsPlace) => {
  const places = new PushPlaces();
  const taken = await fill(places, "a");
  const client = new AbortController();
  const came: string[] = [];
  const gone = asks(places, "gone", came, client.signal);
  const next = asks(places, "next", came);
  client.abort(new Error("the client has gone"));
  if (getsPlace) taken[0]?.[Symbol.dispose]();
  await expect(gone).rejects.toThrow("the client has gone");
  if (!getsPlace) taken[0]?.[Symbol.dispose]();
  await next;
  expect(came).toEqual(["next"]);
});
