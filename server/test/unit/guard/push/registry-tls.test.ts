import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseReference } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import type { ApiObject } from "../../../../src/guard/backend.ts";
import type { Caller } from "../../../../src/guard/caller.ts";
import { openPusher } from "../../../../src/guard/push/pusher.ts";
import { standInEngine } from "../../../fixtures/guard/pushing-engine.ts";
import { startStandInRegistry } from "../../../fixtures/guard/stand-in-registry.ts";

test("requires a certificate that the engine trusts if the engine lists the registry as secure", async () => {
  const folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
  const [keyFile, certFile] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const name = ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...name, "-keyout", keyFile, "-out", certFile], {
    stdio: "ignore",
  });
  const cert = readFileSync(certFile, "utf8");
  await using registry = await startStandInRegistry({ tls: { key: readFileSync(keyFile, "utf8"), cert } });
  const { host } = registry;
  const push = async (isSecure: boolean): Promise<unknown> => {
    const engine = standInEngine();
    const { json } = engine;
    const info = {
      RegistryConfig: { InsecureRegistryCIDRs: ["127.0.0.0/8"], IndexConfigs: { [host]: { Secure: isSecure } } },
    };
    engine.json = async (request) => (request.path === "/info" ? info : await json(request));
    const limits = { countPushed: () => {} };
    await using pusher = openPusher({ engine, limits, env: {}, owner: "/data", certificates: folder });
    const tenant = { id: "a", policy: { pushes: [`${host}/*`] } };
    const caller = { tenant, signal: new AbortController().signal, note: {} } as unknown as Caller;
    const lines: ApiObject[] = [];
    const image = { id: `sha256:${"1".repeat(64)}`, names: [], created: 0, size: 0 };
    await pusher.push(caller, image, parseReference(`${host}/app:v1`), { onLine: (line) => lines.push(line) });
    return lines.at(-1)?.["error"];
  };
  expect(await push(true)).toContain("self-signed certificate");
  expect(await push(false)).toBeUndefined();
  mkdirSync(join(folder, host));
  writeFileSync(join(folder, host, "ca.crt"), cert);
  expect(await push(true)).toBeUndefined();
  rmSync(folder, { recursive: true });
});
