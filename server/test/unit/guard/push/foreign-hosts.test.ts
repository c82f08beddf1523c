import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import { expect, onTestFinished, test, vi } from "vitest";
import { openUpstream } from "../../../../src/guard/push/upstream.ts";
import { REGISTRY_USER, startStandInRegistry } from "../../../fixtures/guard/stand-in-registry.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

/** Creates a certificate of 127.0.0.1, and its key. */
function certificateIn(folder: string): { cert: string; key: string } {
  const files = { cert: join(folder, "x.crt"), key: join(folder, "x.key") };
  const words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1";
  const addressed = [...words.split(" "), "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", [...addressed, "-keyout", files.key, "-out", files.cert], { stdio: "ignore" });
  return { cert: readFileSync(files.cert, "utf8"), key: readFileSync(files.key, "utf8") };
}

test.skipIf(!hasOpenssl)("sends no credentials to another host to which a registry redirects", async () => {
  await using folder = await temporaryFolder();
  const own = certificateIn(folder.path);
  // Behaves as if a public authority had signed it.
  const create = tls.createSecureContext;
  const trusting = vi
    .spyOn(tls, "createSecureContext")
    .mockImplementation((given) => create({ ...given, ca: own.cert }));
  onTestFinished(() => trusting.mockRestore());
  const foreignHeaders: (string | undefined)[] = [];
  await using foreign = await startStandInRegistry({
    tls: own,
    answer({ headers }, response) {
      foreignHeaders.push(headers.authorization);
      response.end();
      return true;
    },
  });
  const registryHeaders: (string | undefined)[] = [];
  await using registry = await startStandInRegistry({
    auth: "basic",
    answer({ method, headers }, response) {
      if (method !== "HEAD") return false;
      registryHeaders.push(headers.authorization);
      response.writeHead(307, { location: `https://${foreign.host}/blob` }).end();
      return true;
    },
  });
  using upstream = await openUpstream({
    host: registry.host,
    repository: "team/app",
    credentials: REGISTRY_USER,
    security: { isInsecure: true, ca: undefined, cert: [], key: [] },
    onlyPublic: false,
    signal: new AbortController().signal,
  });
  const answer = await upstream.send({
    method: "HEAD",
    url: new URL("/v2/team/app/blobs/x", upstream.registry),
    headers: {},
  });
  answer.resume();
  expect(answer.statusCode).toBe(200);
  expect(registryHeaders).toEqual([expect.stringMatching(/^Basic /)]);
  expect(foreignHeaders).toEqual([undefined]);
});
