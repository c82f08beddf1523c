import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Failure } from "docker-over-ssh/builds";
import { spoolBody, watchBody } from "../../../src/api/http/body.ts";
import type { BodyFile } from "../../../src/store/job-store.ts";
import { MemoryStore } from "../../fixtures/memory-store.ts";
import { form, testApp } from "../../fixtures/test-app.ts";

const limits = { maxBody: 1024 * 1024, idle: 10_000 };

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "body-"))));
afterAll(async () => await rm(folder, { recursive: true }));

test.each(["/nowhere", "/healthz", "/api/v1/nowhere"])(
  "does not read a body for %s, which accepts none",
  async (url) => {
    await using server = testApp();
    const headers = { "content-type": "application/json" };
    const answer = await server.app.inject({ method: "POST", url, headers, payload: "{ this is not looked at" });
    expect([404, 405]).toContain(answer.statusCode);
  },
);

describe("a spooled body", () => {
  test("is in the file, and its hash is known", async () => {
    const path = join(folder, "whole");
    const spooled = await spoolBody(Readable.from([Buffer.from("a"), Buffer.from("bc")]), path, limits);
    expect(spooled).toEqual({
      bytes: 3,
      sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    });
    expect(await readFile(path, "utf8")).toBe("abc");
  });

  test("is requested no faster than it is written", async () => {
    let readCount = 0;
    const source = new Readable({
      read() {
        readCount += 16 * 1024;
        this.push(Buffer.alloc(16 * 1024));
      },
    });
    const watched = watchBody(source, { ...limits, maxBody: Number.MAX_SAFE_INTEGER });
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => void setImmediate(resolve));
    expect(readCount).toBeLessThan(512 * 1024);
    watched.destroy();
  });

  test("fails with its source, whatever the source has sent", async () => {
    const source = new PassThrough();
    const spooling = spoolBody(source, join(folder, "cut"), limits);
    source.write("half");
    source.destroy(new Error("reset"));
    await expect(spooling).rejects.toMatchObject({ status: 400, code: "incomplete" });
  });

  test("fails if its source has already ended", async () => {
    const source = new PassThrough();
    source.destroy();
    await expect(spoolBody(source, join(folder, "gone"), limits)).rejects.toMatchObject({ code: "incomplete" });
  });

  test("ends at the limit, and leaves the source to its owner", async () => {
    const source = Readable.from([Buffer.alloc(10), Buffer.alloc(10), Buffer.alloc(10)]);
    const spooling = spoolBody(source, join(folder, "large"), { ...limits, maxBody: 15 });
    await expect(spooling).rejects.toMatchObject({ status: 413 });
    expect(source.destroyed).toBe(false);
  });

  test("fails on a full disk", async () => {
    const failed = spoolBody(Readable.from([Buffer.from("a")]), "/dev/full", limits);
    await expect(failed).rejects.toMatchObject({ name: "Failure", code: "no-space" });
  });
});

describe("a server whose disk is full", () => {
  class FullStore extends MemoryStore {
    disposed = 0;
    override async newBody(): Promise<BodyFile> {
      return { path: "/dev/full", [Symbol.asyncDispose]: async () => void this.disposed++ };
    }
  }
  const json = { name: "app", dockerfile: "FROM scratch" };
  const archive = { name: "archive", content: "a tar" };

  test.each<[string, object]>([
    ["a Dockerfile", { url: "/api/v2/builds", payload: json }],
    [
      "an archive",
      { url: "/api/v2/builds?name=app", payload: "a tar", headers: { "content-type": "application/x-tar" } },
    ],
    ["a form", { url: "/api/v2/builds", ...form({ name: "build", content: '{"name":"app"}' }, archive) }],
    ["a form for tutum-builder", { url: "/api/v1/build", ...form({ ...archive, name: "TarFile" }) }],
  ])("%s: responds 507, without revealing which disk is full", async (_what, request) => {
    await using store = new FullStore();
    await using server = testApp({ store });
    const answer = await server.app.inject({ method: "POST", ...request });
    expect(answer.statusCode).toBe(507);
    expect(answer.body).not.toContain("/dev/full");
    expect([store.disposed, store.added]).toEqual([1, []]);
  });

  test("responds 507 even if the store detects it after the body", async () => {
    await using server = testApp();
    const { app, store } = server;
    vi.spyOn(store, "add").mockRejectedValue(new Failure("no-space", "/var/lib/x is full"));
    const answer = await app.inject({ method: "POST", url: "/api/v2/builds", payload: json });
    expect(answer.json()).toMatchObject({ status: 507, code: "no-space" });
    expect(answer.body).not.toContain("/var/lib");
  });
});
