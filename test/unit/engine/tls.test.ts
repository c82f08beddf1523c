import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chooseEndpoint } from "../../../src/engine/connect/choose-endpoint.ts";
import { namedEndpoint, parseHost } from "../../../src/engine/connect/endpoint.ts";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import { rejection, temporaryFolder } from "./fake-engine.ts";

/** A self-signed certificate for localhost, which the engine and the client share. */
function makeKeys(folder: string): void {
  const options = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost",
  ];
  execFileSync(
    "openssl",
    ["req", "-x509", ...options, "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")],
    { stdio: "ignore" },
  );
}

let hasOpenssl = true;
try {
  execFileSync("openssl", ["version"], { stdio: "ignore" });
} catch {
  hasOpenssl = false;
  console.warn("skipped: TLS, there is no openssl to make keys with");
}

describe.skipIf(!hasOpenssl)("an engine behind TLS", () => {
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let good: string;
  let other: string;
  let noKeys: string;
  let host: string;
  let close: () => Promise<unknown>;

  beforeAll(async () => {
    root = await temporaryFolder();
    [good, other, noKeys] = ["good", "other", "no-keys"].map((name) => join(root.path, name)) as [
      string,
      string,
      string,
    ];
    for (const folder of [good, other, noKeys]) await mkdir(folder);
    for (const folder of [good, other]) {
      makeKeys(folder);
      await cp(join(folder, "cert.pem"), join(folder, "ca.pem"));
    }
    await cp(join(good, "ca.pem"), join(noKeys, "ca.pem"));
    const [key, cert] = await Promise.all([readFile(join(good, "key.pem")), readFile(join(good, "cert.pem"))]);
    const server = createServer(
      { key, cert, ca: cert, requestCert: true, rejectUnauthorized: true },
      (_request, response) => response.setHeader("Api-Version", "1.51").end("OK"),
    );
    await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
    host = `tcp://localhost:${(server.address() as AddressInfo).port}`;
    close = () => new Promise((resolve) => server.close(resolve));
  });
  afterAll(async () => {
    await close();
    await root[Symbol.asyncDispose]();
  });

  const open = async (env: NodeJS.ProcessEnv, homedir = root.path) =>
    openEngine(await chooseEndpoint({ named: namedEndpoint(undefined, env), env, homedir }));

  test("is reached with the keys in DOCKER_CERT_PATH", async () => {
    await using engine = await open({ DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: good });
    expect(engine.address).toBe(`${host} (DOCKER_HOST)`);
  });

  test("is reached with the keys next to config.json", async () => {
    await using engine = await open({ DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CONFIG: good });
    expect(engine.address).toContain(host);
  });

  test("is rejected if its authority is not the trusted one", async () => {
    const error = await rejection(open({ DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: other }));
    expect(error).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining("TLS: "),
      hint: expect.stringContaining("DOCKER_CERT_PATH"),
    });
  });

  test("DOCKER_TLS alone does not check the certificate", async () => {
    await cp(join(other, "ca.pem"), join(root.path, "other-ca.pem"));
    const mixed = join(root.path, "mixed");
    await mkdir(mixed);
    await cp(join(other, "ca.pem"), join(mixed, "ca.pem"));
    for (const name of ["cert.pem", "key.pem"]) await cp(join(good, name), join(mixed, name));
    await using engine = await open({ DOCKER_HOST: host, DOCKER_TLS: "1", DOCKER_CERT_PATH: mixed });
    expect(engine.address).toContain(host);
  });

  test("rejects a client without a key", async () => {
    const error = await rejection(open({ DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: noKeys }));
    expect(error).toMatchObject({ code: "engine-unreachable", message: expect.stringContaining(host) });
  });

  test("a context has its own keys", async () => {
    const home = join(root.path, "home");
    const id = createHash("sha256").update("lab").digest("hex");
    const contexts = join(home, ".docker", "contexts");
    await mkdir(join(contexts, "meta", id), { recursive: true });
    await writeFile(
      join(contexts, "meta", id, "meta.json"),
      JSON.stringify({ Name: "lab", Endpoints: { docker: { Host: host, SkipTLSVerify: false } } }),
    );
    await cp(good, join(contexts, "tls", id, "docker"), { recursive: true });
    {
      await using engine = await open({ DOCKER_CONTEXT: "lab" }, home);
      expect(engine.address).toBe(`${host} (context lab)`);
    }
    await rm(join(contexts, "tls"), { recursive: true });
    expect(await rejection(open({ DOCKER_CONTEXT: "lab" }, home))).toMatchObject({ code: "engine-unreachable" }); // because plain HTTP is used
    await mkdir(join(contexts, "tls", id, "docker"), { recursive: true });
    await writeFile(join(contexts, "tls", id, "docker", "ca.pem"), "not a certificate");
    expect(await rejection(open({ DOCKER_CONTEXT: "lab" }, home))).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining("ca.pem"),
      hint: "Create the context again.",
    });
  });

  test.each([
    ["a missing folder", async (folder: string) => rm(folder, { recursive: true }), "ca.pem"],
    ["no ca.pem", async (folder: string) => rm(join(folder, "ca.pem")), "ca.pem"],
    ["an invalid ca.pem", async (folder: string) => writeFile(join(folder, "ca.pem"), "x"), "ca.pem"],
    ["an invalid key", async (folder: string) => writeFile(join(folder, "key.pem"), "x"), "{cert,key}.pem"],
    [
      "a key of another certificate",
      async (folder: string) => cp(join(other, "key.pem"), join(folder, "key.pem")),
      "{cert,key}.pem",
    ],
  ])("%s is reported before anything connects", async (name, spoil, file) => {
    const folder = join(root.path, name.replaceAll(" ", "-"));
    await cp(good, folder, { recursive: true });
    await spoil(folder);
    const error = await rejection(
      chooseEndpoint({
        named: parseHost(host, "DOCKER_HOST"),
        env: { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: folder },
        homedir: root.path,
      }),
    );
    expect(error).toMatchObject({
      code: "engine-unreachable",
      message: expect.stringContaining(join(folder, file)),
      hint: expect.stringContaining("DOCKER_CERT_PATH"),
    });
  });

  test("keys are not needed for a socket", async () => {
    const endpoint = await chooseEndpoint({
      named: parseHost("unix:///some.sock", "-H"),
      env: { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "/nowhere" },
      homedir: root.path,
    });
    expect(endpoint.address).toEqual({ protocol: "unix", path: "/some.sock" });
  });

  test("DOCKER_TLS_VERIFY without a host means localhost:2376", async () => {
    const endpoint = await chooseEndpoint({
      env: { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: good },
      homedir: "/nowhere",
    });
    expect(endpoint).toMatchObject({ host: "tcp://localhost:2376", address: { tls: { verify: true } } });
  });
});
