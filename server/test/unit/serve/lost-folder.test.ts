import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { serve } from "../../../src/serve.ts";
import type { ServeSettings } from "../../../src/settings.ts";

const folder = mkdtempSync(join(tmpdir(), "lost-folder-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("ends a service that has lost its folder with a hint, so that it can be started again", async () => {
  const data = join(folder, "data");
  const settings: ServeSettings = {
    listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
    role: "both",
    data,
    engines: [`unix://${folder}/no-engine.sock`],
    places: 1,
    maxQueued: 10,
    upload: { maxBody: 1e6, idle: 10_000 },
    fetch: { maxBytes: 1e6, maxTime: 10_000, redirects: 1, allowedHosts: [] },
    build: { maxUnpacked: 1e6, maxTime: 10_000 },
    maxLog: 1e6,
    retention: { age: 1e9, bytes: 1e9 },
    grace: 1000,
  };
  const stop = new AbortController();
  const env = { ...process.env, XDG_CACHE_HOME: join(folder, "cache") };
  const printed: string[] = [];
  const printLine = (line: string): void => {
    printed.push(line);
    // The server checks every two seconds, and detects that its lock is gone.
    if (line.startsWith("listening")) rmSync(join(data, "server.lock"), { recursive: true });
  };
  await expect(serve(settings, { env, signal: stop.signal, printLine })).rejects.toMatchObject({ code: "refused" });
  expect(printed).toHaveLength(1);
});
