import { expect, test } from "vitest";
import { PushSlots } from "../../../../src/guard/push/push-slots.ts";

const SLOTS = 16;
const { signal } = new AbortController();

/** Takes all slots of a tenant. */
async function fill(slots: PushSlots, tenant: string): Promise<Disposable[]> {
  return await Promise.all(Array.from({ length: SLOTS }, async () => await slots.take(tenant, signal)));
}

/** Requests a slot, and records when it is granted. */
function request(slots: PushSlots, name: string, granted: string[], leave = signal): Promise<Disposable> {
  return slots.take("a", leave).then((slot) => {
    granted.push(name);
    return slot;
  });
}

test("pushes beyond a tenant's slots wait in their order, and do not delay another tenant", async () => {
  const slots = new PushSlots();
  const taken = await fill(slots, "a");
  const granted: string[] = [];
  const first = request(slots, "first", granted);
  const second = request(slots, "second", granted);
  using _other = await slots.take("b", signal);
  expect(granted).toEqual([]);
  taken[0]?.[Symbol.dispose]();
  await first;
  expect(granted).toEqual(["first"]);
  taken[1]?.[Symbol.dispose]();
  await second;
  expect(granted).toEqual(["first", "second"]);
});

test.each([
  ["an aborted push frees its position in the queue", false],
  ["a push that is aborted when it gets its slot passes the slot on", true],
])("%s", async (_, getsSlot) => {
  const slots = new PushSlots();
  const taken = await fill(slots, "a");
  const client = new AbortController();
  const granted: string[] = [];
  const aborted = request(slots, "aborted", granted, client.signal);
  const next = request(slots, "next", granted);
  client.abort(new Error("the client has disconnected"));
  if (getsSlot) taken[0]?.[Symbol.dispose]();
  await expect(aborted).rejects.toThrow("the client has disconnected");
  if (!getsSlot) taken[0]?.[Symbol.dispose]();
  await next;
  expect(granted).toEqual(["next"]);
});
