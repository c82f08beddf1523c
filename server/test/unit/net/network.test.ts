import { Failure, InvalidValue } from "docker-over-ssh/builds";
import { describe, expect, test } from "vitest";
import { parseWords } from "../../../src/commands/option.ts";
import { SERVE, type ServeOptions } from "../../../src/commands/serve-options.ts";
import { parseAllowedHost } from "../../../src/net/allowed-host.ts";
import { checkedAddresses, networkOf, readAddress } from "../../../src/net/network.ts";
import { rejection } from "../../../../test/unit/engine/fake-engine.ts";
import { answers, standInNetwork } from "./local-server.ts";

const never = new AbortController().signal;
const real = networkOf([]);

function failure(run: () => unknown): Failure {
  try {
    run();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("it did not throw");
}

test.each([
  "http://127.0.0.1/app.tar",
  "http://2130706433/",
  "http://0x7f000001/",
  "http://0x7f.1/",
  "http://017700000001/",
  "http://0177.0.0.1/",
  "http://127.1/",
  "http://0/",
  "http://127.0.0.1./",
  "http://①②⑦.0.0.1/",
  "http://[::1]/",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:a9fe:a9fe]/latest/meta-data/",
  "http://[::127.0.0.1]/",
  "http://[64:ff9b::10.0.0.1]/",
  "http://[fd00:ec2::254]/",
  "http://169.254.169.254/latest/meta-data/",
  "https://0xa9fea9fe/",
  "http://2852039166/",
  "http:10.0.0.1",
  "http:\\\\10.0.0.1\\app.tar",
])("rejects %s before anything is sent", async (address) => {
  expect(failure(() => readAddress(address, real)).code).toBe("refused");
});

test.each([
  "ftp://files.example.com/a",
  "file:///etc/passwd",
  "unix:/run/docker.sock",
  "data:,x",
  "",
  "/a.tar",
  "http://",
  "http://[::1",
  "http://1.2.3.4.5/",
])("rejects the address %s", (address) => {
  expect(failure(() => readAddress(address, real)).code).toBe("usage");
});

test.each([
  "http://me:secret-word@example.com/",
  "https://secret-word@example.com/",
  "http://:secret-word@example.com/",
])("rejects %s, without revealing the password", (address) => {
  const { code, message, expected, hint } = failure(() => readAddress(address, real));
  expect(code).toBe("usage");
  expect(JSON.stringify([message, expected, hint])).not.toContain("secret-word");
});

test("rejects a name for one private address among public ones, without revealing which", async () => {
  const network = { ...real, resolve: async () => answers("93.184.215.14", "10.1.2.3") };
  const url = readAddress("https://files.example.com/app.tar", network);
  const error = await rejection(checkedAddresses(url, network, never));
  expect(error.code).toBe("refused");
  expect(error.message).toContain("files.example.com");
  expect(JSON.stringify([error.message, error.expected, error.hint])).not.toMatch(/10\.1|private/);
});

test("uses the addresses of a name that its check has seen", async () => {
  const network = { ...real, resolve: async () => answers("93.184.215.14", "2606:4700::1111") };
  expect(await checkedAddresses(new URL("http://files.example.com/"), network, never)).toEqual([
    { address: "93.184.215.14", family: 4 },
    { address: "2606:4700::1111", family: 6 },
  ]);
});

test("rejects names of this machine", async () => {
  expect((await rejection(checkedAddresses(new URL("http://localhost:2375/"), real, never))).code).toBe("refused");
});

test("rejects a name without an address", async () => {
  const network = standInNetwork({
    resolve: async () => await Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" })),
  });
  const error = await rejection(checkedAddresses(new URL("http://nowhere.example.com/"), network, never));
  expect(error.message).toBe("nowhere.example.com cannot be reached: its name has no address");
  const none = standInNetwork({ resolve: async () => [] });
  expect((await rejection(checkedAddresses(new URL("http://nowhere.example.com/"), none, never))).message).toBe(
    error.message,
  );
});

test("abandons DNS that hangs when the signal is aborted", async () => {
  const stop = new AbortController();
  const network = standInNetwork({ resolve: async () => await new Promise(() => {}) });
  const found = rejection(checkedAddresses(new URL("http://slow.example.com/"), network, stop.signal));
  stop.abort(new Error("enough"));
  expect(await found).toEqual(new Error("enough"));
});

describe("--allow-host", () => {
  test.each([
    ["git.example.com", "http://git.example.com/", true],
    ["git.example.com", "https://GIT.example.com.:8443/", true],
    ["git.example.com:8080", "http://git.example.com:8080/", true],
    ["git.example.com:8080", "http://git.example.com/", false],
    ["git.example.com:443", "https://git.example.com/", true],
    ["git.example.com:443", "http://git.example.com/", false],
    ["git.example.com", "http://other.git.example.com/", false],
    ["git.example.com", "http://git.example.com.evil.example.com/", false],
  ])("%s, for %s: %s", async (allowed, address, isAllowed) => {
    const network = { ...networkOf([allowed]), resolve: async () => answers("10.1.2.3") };
    const found = checkedAddresses(readAddress(address, network), network, never);
    if (isAllowed) expect(await found).toEqual(answers("10.1.2.3"));
    else expect((await rejection(found)).code).toBe("refused");
  });

  test.each([
    ["10.0.0.7:5000", "http://10.0.0.7:5000/"],
    ["127.1", "http://127.0.0.1/"],
    ["[::1]:8080", "http://[0:0::1]:8080/"],
  ])("%s allows an IP address: %s", (allowed, address) => {
    expect(readAddress(address, networkOf([allowed])).href).toBe(new URL(address).href);
  });

  test.each([
    "",
    "http://git.example.com",
    "git.example.com:",
    "git.example.com:0",
    "git.example.com:65536",
    "me@git.example.com",
    "a b",
    "::1",
    "git.example.com/x",
  ])("%j is invalid", (text) => {
    expect(() => parseAllowedHost(text)).toThrow(InvalidValue);
  });

  test("is checked before the server starts", () => {
    const parse = (host: string) =>
      parseWords<ServeOptions>(SERVE, ["--allow-host", host], () => {})?.options.allowHost;
    expect(parse("git.example.com:8080")).toEqual(["git.example.com:8080"]);
    expect(failure(() => parse("http://git.example.com")).code).toBe("usage");
  });
});
