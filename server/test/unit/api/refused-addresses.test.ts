import { expect, test } from "vitest";
import { networkOf } from "../../../src/net/network.ts";
import { testApp, type TestApp } from "../../fixtures/test-app.ts";

const submit = async ({ app }: TestApp, more: object) =>
  await app.inject({ method: "POST", url: "/api/v2/builds", payload: { name: "team/app", ...more } });

test.each(["http://169.254.169.254/latest/meta-data/", "http://2130706433/", "http://[::ffff:10.0.0.1]/app.tar"])(
  "rejects a build that refers to %s before it is a job",
  async (url) => {
    await using server = testApp({ network: networkOf(["git.example.com"]), hasWebhookSecret: true });
    const archive = await submit(server, { archiveUrl: url });
    const hook = await submit(server, { archiveUrl: "https://git.example.com/app.tar", webhook: { url } });
    const allowed = expect.stringContaining("--allow-host") as string;
    expect([archive.statusCode, archive.json<object>()]).toMatchObject([
      422,
      { errors: [{ field: "archiveUrl", message: allowed }] },
    ]);
    expect([hook.statusCode, hook.json<object>()]).toMatchObject([422, { errors: [{ field: "webhook.url" }] }]);
    const payload = { image_name: "team/app", tarUrl: url };
    const older = await server.app.inject({ method: "POST", url: "/api/v1/build", payload });
    expect([older.statusCode, older.json<object>()]).toMatchObject([400, { Error: expect.stringContaining("tarUrl") }]);
    expect(server.store.added).toEqual([]);
  },
);

test("accepts an allowed address", async () => {
  await using server = testApp({ network: networkOf(["10.0.0.1:8080"]) });
  expect((await submit(server, { archiveUrl: "http://10.0.0.1:8080/app.tar" })).statusCode).toBe(202);
  expect((await submit(server, { archiveUrl: "http://10.0.0.1/app.tar" })).statusCode).toBe(422);
});
