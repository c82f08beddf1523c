import { expect, test } from "vitest";
import { testApp } from "../../fixtures/test-app.ts";

test("a stopping server accepts no builds, is not ready, and still reports its builds", async () => {
  const stop = new AbortController();
  await using server = testApp({ stopping: stop.signal });
  const submit = async (url: string, payload: object) => await server.app.inject({ method: "POST", url, payload });
  const build = { name: "team/app", dockerfile: "FROM scratch\n" };
  const first = (await submit("/api/v2/builds", build)).json<{ id: string }>();
  server.store.change(first.id, { state: "failed" });

  stop.abort();
  const older = { image_name: "team/app", dockerfile: "FROM scratch\n" };
  for (const answer of [
    await submit("/api/v2/builds", build),
    await submit("/api/v1/build", older),
    await server.app.inject({ method: "POST", url: `/api/v2/builds/${first.id}/retry` }),
  ]) {
    expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([503, "30"]);
    expect(answer.body).toContain("stopping");
  }
  const ready = await server.app.inject("/readyz");
  expect([ready.statusCode, ready.json<object>()]).toMatchObject([503, { detail: "The server is stopping." }]);
  expect((await server.app.inject(`/api/v2/builds/${first.id}`)).statusCode).toBe(200);
  expect(server.store.added).toHaveLength(1);
});
