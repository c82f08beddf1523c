import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { Agent, get, type IncomingMessage, type RequestOptions } from "node:http";
import { get as getTls } from "node:https";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { listen } from "../../../src/api/http/listen.ts";
import { readTlsFiles } from "../../../src/api/http/tls-files.ts";
import type { ListenAddress } from "../../../src/settings.ts";
import { runningJob } from "../../fixtures/new-job.ts";
import { openStream } from "../../fixtures/sse-client.ts";
import { testApp } from "../../fixtures/test-app.ts";

const LOOPBACK: ListenAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "listen-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function answerOf(options: RequestOptions): Promise<string> {
  const [response] = (await once(get({ path: "/healthz", agent: false, ...options }), "response")) as [IncomingMessage];
  return text(response);
}

test("reports the port that the system chooses in the address", async () => {
  const server = testApp();
  await using listening = await listen(server.app, { listen: LOOPBACK });
  expect(listening.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/);
  expect(await answerOf({ host: "127.0.0.1", port: new URL(listening.url).port })).toBe('{"status":"ok"}');
});

test("reports a used port, and an address of another machine", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  await expect(listen(testApp().app, { listen: { kind: "tcp", host: "127.0.0.1", port } })).rejects.toMatchObject({
    code: "usage",
    message: `cannot listen on 127.0.0.1:${port}: another program listens there`,
    hint: "Name another address with --listen.",
  });
  other.close();
  await expect(listen(testApp().app, { listen: { kind: "tcp", host: "192.0.2.1", port: 0 } })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining("this machine has no such address"),
  });
});

describe("a Unix socket", () => {
  test("is for the user and the group, and is removed with the server", async () => {
    const path = join(folder, "a.sock");
    const umask = process.umask();
    {
      await using listening = await listen(testApp().app, { listen: { kind: "unix", path } });
      expect(listening.url).toBe(`unix:${path}`);
      expect((await stat(path)).mode & 0o777).toBe(0o660);
      expect(process.umask()).toBe(umask);
      expect(await answerOf({ socketPath: path })).toBe('{"status":"ok"}');
    }
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("replaces that of a dead server, but neither that of a live server nor a file", async () => {
    const path = join(folder, "b.sock");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    expect(() => execFileSync(process.execPath, ["-e", script], { stdio: "ignore" })).toThrow("SIGKILL");
    expect((await stat(path)).isSocket()).toBe(true);
    await using listening = await listen(testApp().app, { listen: { kind: "unix", path } });
    await expect(listen(testApp().app, { listen: { kind: "unix", path } })).rejects.toMatchObject({
      code: "usage",
      message: `cannot listen on ${path}: another server listens there`,
    });
    expect(await answerOf({ socketPath: listening.url.slice("unix:".length) })).toBe('{"status":"ok"}');

    const file = join(folder, "file");
    await writeFile(file, "kept");
    await expect(listen(testApp().app, { listen: { kind: "unix", path: file } })).rejects.toMatchObject({
      message: expect.stringContaining("is not a socket"),
    });
    expect(await readFile(file, "utf8")).toBe("kept");
  });
});

describe("closing", () => {
  test("ends streams, waits for responses, and closes connections that stay after the limit", async () => {
    let arrived = 0;
    const server = testApp({
      plugins: [
        async (app) => {
          app.get("/slow", { config: { scope: "open" } }, () => {
            arrived += 1;
            return slow.promise;
          });
          app.get("/never", { config: { scope: "open" } }, () => {
            arrived += 1;
            return new Promise(() => {});
          });
        },
      ],
    });
    const slow = deferred();
    const { id } = await runningJob(server.store, ["line 1"]);
    const listening = await listen(server.app, { listen: LOOPBACK }, { closeLimit: 500 });
    const port = Number(new URL(listening.url).port);
    using log = await openStream(port, `/api/v2/builds/${id}/logs`);
    await log.until(/line 1/);
    using agent = new KeptAgent();
    await text(((await once(get({ port, path: "/healthz", agent }), "response")) as [IncomingMessage])[0]);
    const slowAnswer = answerOf({ port, path: "/slow" });
    const never = answerOf({ port, path: "/never" });
    never.catch(() => {});
    const silent = connect(port, "127.0.0.1");
    await once(silent, "connect");
    await vi.waitFor(() => expect(arrived).toBe(2));
    const closed = listening[Symbol.asyncDispose]();
    expect(await log.ended).toContain("line 1");
    slow.resolve("done");
    expect(await slowAnswer).toBe("done");
    await expect(never).rejects.toMatchObject({ code: "ECONNRESET" });
    await closed;
    await expect(answerOf({ port })).rejects.toMatchObject({ code: "ECONNREFUSED" });
    silent.destroy();
  });
});

/** An agent with a pool of connections that stay open. */
class KeptAgent extends Agent implements Disposable {
  constructor() {
    super({ keepAlive: true });
  }
  [Symbol.dispose](): void {
    this.destroy();
  }
}

function deferred(): { promise: Promise<string>; resolve: (value: string) => void } {
  let resolve: (value: string) => void = () => {};
  const promise = new Promise<string>((done) => (resolve = done));
  return { promise, resolve };
}

let hasOpenssl = true;
try {
  execFileSync("openssl", ["version"], { stdio: "ignore" });
} catch {
  hasOpenssl = false;
  console.warn("skipped: TLS of serve, there is no openssl to make keys with");
}

describe.skipIf(!hasOpenssl)("TLS", () => {
  const makeKeys = (name: string): { certFile: string; keyFile: string } => {
    const files = { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
    const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", ["req", "-x509", ...key, ...subject, "-keyout", files.keyFile, "-out", files.certFile], {
      stdio: "ignore",
    });
    return files;
  };
  const nameAt = async (url: string): Promise<string> => {
    const [response] = (await once(
      getTls(`${url}/healthz`, { agent: false, rejectUnauthorized: false }),
      "response",
    )) as [IncomingMessage];
    const { subject } = (response.socket as TLSSocket).getPeerCertificate();
    expect(await text(response)).toBe('{"status":"ok"}');
    return String(subject.CN);
  };

  test("uses the certificate, and a new one after SIGHUP; reports a bad one and does not use it", async () => {
    const tls = makeKeys("one.example.com");
    const next = makeKeys("two.example.com");
    const problems: string[] = [];
    const server = testApp({ tls: await readTlsFiles(tls) });
    await using listening = await listen(
      server.app,
      { listen: LOOPBACK, tls },
      { onProblem: ({ message }) => problems.push(message) },
    );
    expect(listening.url).toMatch(/^https:/);
    expect(await nameAt(listening.url)).toBe("one.example.com");
    await copyFile(next.certFile, tls.certFile);
    process.emit("SIGHUP");
    await vi.waitFor(() => expect(problems).toEqual([expect.stringContaining("cannot use")])); // the key of another certificate
    expect(await nameAt(listening.url)).toBe("one.example.com");
    await copyFile(next.keyFile, tls.keyFile);
    await listening.reloadCertificate();
    expect(await nameAt(listening.url)).toBe("two.example.com");
  });

  test("reports unusable files before it listens", async () => {
    const tls = makeKeys("three.example.com");
    await expect(readTlsFiles({ ...tls, certFile: join(folder, "none.crt") })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("cannot read the file of --tls-cert: ENOENT"),
    });
    await expect(readTlsFiles({ ...tls, keyFile: tls.certFile })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("for TLS"),
    });
    await expect(readTlsFiles({ ...tls, keyFile: makeKeys("four.example.com").keyFile })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("for TLS"),
    });
  });
});
