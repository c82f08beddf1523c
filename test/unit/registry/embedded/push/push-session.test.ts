import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newRunId } from "../../../../../src/run/run-id.ts";
import { AcceptAllPolicy } from "../../../../../src/engine-push/accept-all-policy.ts";
import { PushSession } from "../../../../../src/registry/embedded/push/push-session.ts";
import { uploadSpool } from "../../../../../src/registry/embedded/push/upload-spool.ts";
import { clientOf, endRegistry, openRegistry } from "../client.ts";

test("refuses an upload that starts while the session is closed, and leaves no file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "embedded-"));
  await using spool = uploadSpool(newRunId(), folder);
  const session = new PushSession(new AcceptAllPolicy("app"), {}, spool);
  const opening = session.startUpload();
  const closing = session[Symbol.asyncDispose]();
  await expect(opening).rejects.toMatchObject({ status: 403, code: "DENIED" });
  await closing;
  expect(await readdir((await spool.open()).folder)).toEqual([]);
  await spool[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

test("calls the observer for requests, and for chunks of an upload", async () => {
  const folder = await mkdtemp(join(tmpdir(), "embedded-"));
  const registry = await openRegistry(folder);
  const client = await clientOf(registry);
  let calls = 0;
  registry.openPushSession("app", new AcceptAllPolicy("app"), { active: () => calls++ });
  await client("HEAD", "/v2/app/manifests/v1");
  await client("GET", "/v2/");
  expect(calls).toBe(1);
  const { headers } = await client("POST", "/v2/app/blobs/uploads/");
  expect(calls).toBe(2);
  await client("PATCH", headers.location ?? "", { body: "x" });
  expect(calls).toBe(4);
  await endRegistry(registry, folder);
});
