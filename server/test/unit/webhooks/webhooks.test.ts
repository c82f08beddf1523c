import { createHmac } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { closedPort, rejection, temporaryFolder } from "../../../../test/unit/engine/fake-engine.ts";
import type { Delivery, Job } from "../../../src/jobs/job.ts";
import { networkOf } from "../../../src/net/network.ts";
import { parseWebhookSecret, readWebhookSecret } from "../../../src/webhooks/secret.ts";
import { webhookSender, type WebhookOptions } from "../../../src/webhooks/send-webhook.ts";
import { signedHeaders } from "../../../src/webhooks/sign.ts";
import { localServer, standInNetwork, type LocalServer } from "../net/local-server.ts";
import { PLAIN_ORDER } from "../../fixtures/plain-order.ts";

const KEY = Buffer.alloc(32, 7);
const ID = "01940000-0000-7000-8000-000000000001";

function job(url: string, attempts = 0): Job {
  const delivery: Delivery = { at: 0, status: 500, ms: 1 };
  return {
    id: ID,
    name: "team/app",
    fullName: "docker.io/team/app:latest",
    owner: "ci",
    state: "succeeded",
    source: { kind: "archive", bytes: 1 },
    order: PLAIN_ORDER,
    hasCredentials: false,
    attempts: 1,
    acceptedAt: 0,
    phases: {},
    webhook: { url, deliveries: Array.from({ length: attempts }, () => delivery) },
    log: { lines: 0, bytes: 0, isCut: false },
  };
}

const sender = (changes: Partial<WebhookOptions> = {}) =>
  webhookSender({
    key: KEY,
    network: standInNetwork(),
    view: ({ id, state }) => ({ id, state }),
    random: () => 0,
    ...changes,
  });

const receiver = async (answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<LocalServer> =>
  await localServer(answer, { host: "127.0.0.2" });
const addressOf = ({ port }: LocalServer): string => `http://hooks.example.com:${port}/hook`;

test("sends the job as the API shows it, with a signature that its receiver verifies", async () => {
  let headers: IncomingMessage["headers"] = {};
  let body = Buffer.alloc(0);
  await using server = await receiver((request, response) => {
    headers = request.headers;
    void buffer(request).then((all) => {
      body = all;
      response.writeHead(204).end();
    });
  });
  const outcome = await sender()(job(addressOf(server)));
  expect(outcome).toEqual({
    delivery: { at: expect.any(Number) as number, status: 204, ms: expect.any(Number) as number },
  });
  expect(JSON.parse(body.toString())).toEqual({ id: ID, state: "succeeded" });
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature } = headers;
  expect(id).toBe(`msg_${ID}`);
  expect(Math.abs(Number(timestamp) * 1000 - Date.now())).toBeLessThan(60_000);
  const expected = createHmac("sha256", KEY)
    .update(`${String(id)}.${String(timestamp)}.${body.toString()}`)
    .digest("base64");
  expect(signature).toBe(`v1,${expected}`);
  expect(headers["content-type"]).toBe("application/json");
});

test("computes the signature of Standard Webhooks' example", () => {
  const key = parseWebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  const body = Buffer.from('{"test": 2432232314}');
  expect(signedHeaders(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_000, body)["webhook-signature"]).toBe(
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  );
});

test.each([
  [0, 5_000],
  [1, 30_000],
  [2, 120_000],
  [3, 600_000],
  [4, 3_600_000],
  [5, undefined],
])("after %d failed attempts and one more, retries after %s ms", async (attempts, again) => {
  await using server = await receiver((_request, response) => response.writeHead(503).end());
  const outcome = await sender()(job(addressOf(server), attempts));
  expect(outcome.again).toBe(again);
  expect(outcome.delivery.status).toBe(503);
});

test("adds jitter to the times", async () => {
  await using server = await receiver((_request, response) => response.writeHead(503).end());
  expect((await sender({ random: () => 1 })(job(addressOf(server)))).again).toBe(6_000);
});

test("gives up after 410, and retries other statuses", async () => {
  await using server = await receiver(({ headers }, response) =>
    response.writeHead(Number(headers["content-length"]) > 20 ? 410 : 404).end(),
  );
  const gone = await sender()(job(addressOf(server)));
  expect([gone.delivery.status, gone.again]).toEqual([410, undefined]);
  const missing = await sender({ view: () => ({}) })(job(addressOf(server)));
  expect([missing.delivery.status, missing.again]).toEqual([404, 5_000]);
});

test("does not follow a redirect", async () => {
  await using server = await receiver((_request, response) => response.writeHead(307, { location: "/other" }).end());
  const { delivery, again } = await sender()(job(addressOf(server)));
  expect([delivery.status, again]).toEqual([307, 5_000]);
  expect(server.requests).toEqual(["POST /hook"]);
});

test.each(["http://127.0.0.1", "http://2130706433", "http://[::ffff:127.0.0.1]", "http://localhost"])(
  "rejects an address that is not public, once: %s",
  async (base) => {
    await using server = await localServer((_request, response) => response.end());
    const { delivery, again } = await sender({ network: networkOf([]) })(job(`${base}:${server.port}/`));
    expect(delivery.error).toContain("has an address that the server does not connect to");
    expect(again).toBeUndefined();
    expect(server.requests).toEqual([]);
  },
);

test("sends webhooks to an allowed address that is not public", async () => {
  await using server = await localServer((_request, response) => response.end());
  const { delivery } = await sender({ network: networkOf(["127.0.0.1"]) })(job(`http://127.0.0.1:${server.port}/`));
  expect(delivery.status).toBe(200);
});

test("reports a receiver that cannot be reached", async () => {
  const { delivery, again } = await sender()(job(`http://hooks.example.com:${await closedPort()}/secret-word`));
  expect(delivery.error).toMatch(/it refuses connections on this port$/);
  expect(delivery.error).not.toContain("secret-word");
  expect(again).toBe(5_000);
});

test("reports a receiver that does not answer in time", async () => {
  await using server = await receiver(() => {});
  const { delivery, again } = await sender({ timeout: 50 })(job(addressOf(server)));
  expect(delivery).toMatchObject({ error: "no answer in time" });
  expect(again).toBe(5_000);
});

test("accepts an answer whose body does not end, and reads little of it", async () => {
  await using endless = await receiver((_request, response) => {
    const more = (): void => {
      while (response.write(Buffer.alloc(1000)));
      response.once("drain", more);
    };
    more();
  });
  expect((await sender()(job(addressOf(endless)))).delivery.status).toBe(200);
  await using slow = await receiver((_request, response) => void response.writeHead(200).write("slow"));
  expect((await sender({ timeout: 1000 })(job(addressOf(slow)))).delivery.status).toBe(200);
});

test("accepts as the secret: whsec_ and base64, or a line of text", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "secret");
  await writeFile(path, `whsec_${KEY.toString("base64")}\n`, { mode: 0o600 });
  expect(await readWebhookSecret(path)).toEqual(KEY);
  await writeFile(path, "a line that is long enough\n");
  expect((await readWebhookSecret(path)).toString()).toBe("a line that is long enough");
  for (const text of [
    "",
    "secret-word",
    "whsec_secret-word",
    `whsec_${Buffer.alloc(23).toString("base64")}`,
    `whsec_${Buffer.alloc(65).toString("base64")}`,
  ]) {
    await writeFile(path, text);
    const error = await rejection(readWebhookSecret(path));
    expect(error.code).toBe("usage");
    expect(error.message).not.toContain("secret-word");
  }
});
