import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { build, submit, url, type Answer } from "../../fixtures/submissions.ts";
import { testAccess, testApp, testClient } from "../../fixtures/test-app.ts";

describe("Idempotency-Key", () => {
  const headers = { "idempotency-key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"' };

  test("returns the same job for the same request, and 422 for another one", async () => {
    await using server = testApp();
    const first = await submit(server, build, headers);
    const turned = JSON.stringify({ dockerfile: build.dockerfile, name: build.name });
    const again = await submit(server, turned, { "idempotency-key": headers["idempotency-key"].slice(1, -1) });
    expect(again.statusCode).toBe(202);
    expect(again.headers["idempotency-replayed"]).toBe("true");
    expect(again.json<{ id: string }>().id).toBe(first.json<{ id: string }>().id);
    const other = await submit(server, { ...build, pull: true }, headers);
    expect(other.json()).toMatchObject({ status: 422, code: "idempotency-key-reused" });
    expect(await readdir(server.store.folder)).toEqual(["body-1"]);
  });

  test("distinguishes the bytes of an archive", async () => {
    await using server = testApp();
    const send = (payload: string): Promise<Answer> =>
      server.app.inject({
        method: "POST",
        url: `${url}?name=app`,
        payload,
        headers: { "content-type": "application/gzip", ...headers },
      });
    const id = (await send("one")).json<{ id: string }>().id;
    expect((await send("one")).json<{ id: string }>().id).toBe(id);
    expect((await send("two")).statusCode).toBe(422);
    expect(await readdir(server.store.folder)).toEqual(["body-1"]);
  });

  test("separates the keys of two owners", async () => {
    await using server = testApp({ access: testAccess([testClient("t1"), testClient("t2")]) });
    const ids = [];
    for (const authorization of ["t1", "t2"]) {
      ids.push((await submit(server, build, { ...headers, authorization })).json<{ id: string }>().id);
    }
    expect(new Set(ids).size).toBe(2);
    expect(server.store.added[0]?.idempotency?.key).not.toBe(server.store.added[1]?.idempotency?.key);
  });

  test.each(["", '"', "a b", "x".repeat(256)])("rejects an invalid key: %j", async (key) => {
    await using server = testApp();
    expect((await submit(server, build, { "idempotency-key": key })).statusCode).toBe(400);
  });
});
