import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { expect, test } from "vitest";
import { answer, fakeEngine, type Route } from "./fake-engine.ts";

test.skipIf(process.platform === "win32")("NODE_DEBUG and DEBUG=* print no password", async () => {
  const waiting: (() => void)[] = [];
  const push: Route = (_request, response) => {
    waiting.push(() => answer(response, 200, { status: "done" }));
    if (waiting.length === 3) for (const release of waiting) release();
  };
  const names = ["a", "b", "c"].map((name) => `POST /images/localhost:5000/${name}/push`);
  await using fake = await fakeEngine(Object.fromEntries(names.map((name) => [name, push])));
  const child = fileURLToPath(new URL("pushes-with-password.ts", import.meta.url));
  const { all } = await execa({
    all: true,
    env: { DEBUG: "*", NODE_DEBUG: "http,http2,net,stream" },
  })`${process.execPath} --import tsx ${child} unix://${fake.socketPath} hunter2-hunter2`;

  expect(all).toContain("HTTP "); // to be sure that debug output exists
  const sent = fake.seen.map(({ headers }) => String(headers["x-registry-auth"]));
  expect(sent).toHaveLength(3);
  for (const header of sent) {
    expect(JSON.parse(Buffer.from(header, "base64url").toString())).toMatchObject({ password: "hunter2-hunter2" });
    expect(all).not.toContain(header);
  }
  expect(all).not.toContain("hunter2-hunter2");
});
