import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { bindSocket, type BoundSocket } from "../../../../src/guard/sockets/bind-socket.ts";
import type { TenantEndpoint } from "../../../../src/guard/tenant.ts";
import { connected, endpointIn, greet, greeting, temporaryFolder } from "./socket-bed.ts";

const never = new AbortController().signal;
const ignore = (): void => {};

async function bind(
  endpoint: TenantEndpoint,
  options: { onProblem?: (text: string) => void; interval?: number } = {},
): Promise<BoundSocket> {
  return await bindSocket(endpoint, greet, { onProblem: ignore, signal: never, ...options });
}

const permissions = (path: string): string => (lstatSync(path).mode & 0o777).toString(8);

test.each([
  ["an operator's folder", false, "660"],
  ["a tenant's folder", true, "666"],
])("in %s, it has its mode from the first moment, and is removed at the end", async (_, isTenants, mode) => {
  await using folder = await temporaryFolder();
  const { socket } = endpointIn(folder.path);
  {
    await using bound = await bind(endpointIn(folder.path, isTenants));
    expect(permissions(socket)).toBe(mode);
    expect(await greeting(socket)).toBe("hello");
    expect(bound.gone.aborted).toBe(false);
    expect(readdirSync(folder.path)).toEqual(["docker.sock"]);
  }
  expect(readdirSync(folder.path)).toEqual([]);
});

test("accepts a path that exceeds the limit of a socket address", async () => {
  await using folder = await temporaryFolder();
  const deep = join(
    folder.path,
    "pods/0a1b2c3d-0000-4000-8000-000000000000/volumes/kubernetes.io~empty-dir",
    "v".repeat(63),
  );
  mkdirSync(deep, { recursive: true });
  await using _bound = await bind(endpointIn(deep, true));
  symlinkSync(deep, join(folder.path, "s"));
  expect(await greeting(join(folder.path, "s", "docker.sock"))).toBe("hello");
});

describe("in an operator's folder", () => {
  test.each([
    ["a file", (path: string) => writeFileSync(path, "mine"), /it exists and is not a socket/],
    ["a link", (path: string) => symlinkSync("/nowhere", path), /it exists and is not a socket/],
  ])("it refuses %s at the path, and keeps it", async (_, put, message) => {
    await using folder = await temporaryFolder();
    const endpoint = endpointIn(folder.path);
    put(endpoint.socket);
    await expect(bind(endpoint)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(message) as string,
    });
    expect(lstatSync(endpoint.socket).isSocket()).toBe(false);
  });

  test("it refuses the path of a live server, and replaces a dead socket", async () => {
    await using folder = await temporaryFolder();
    const endpoint = endpointIn(folder.path);
    const other = createServer().listen(endpoint.socket);
    await once(other, "listening");
    await expect(bind(endpoint)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("another server") as string,
    });
    renameSync(endpoint.socket, join(folder.path, "dead")); // closing does not find it
    other.close();
    renameSync(join(folder.path, "dead"), endpoint.socket);
    await using _bound = await bind(endpoint);
    expect(await greeting(endpoint.socket)).toBe("hello");
  });

  test("it refuses a missing folder with a message", async () => {
    await using folder = await temporaryFolder();
    await expect(bind(endpointIn(join(folder.path, "none")))).rejects.toMatchObject({
      code: "usage",
      hint: expect.stringContaining("mkdir -p") as string,
    });
  });
});

describe("in a tenant's folder", () => {
  test("it replaces a link or a file at the path, without touching the link's target", async () => {
    await using folder = await temporaryFolder();
    await using outside = await temporaryFolder();
    const target = join(outside.path, "engine.sock");
    writeFileSync(target, "the host's");
    const endpoint = endpointIn(folder.path, true);
    symlinkSync(target, endpoint.socket);
    {
      await using _bound = await bind(endpoint);
      expect(lstatSync(endpoint.socket).isSocket()).toBe(true);
    }
    expect(readFileSync(target, "utf8")).toBe("the host's");
    expect(permissions(target)).toBe((0o666 & ~process.umask()).toString(8));
  });

  test("it does not follow a link in the place of the folder", async () => {
    await using folder = await temporaryFolder();
    await using outside = await temporaryFolder();
    const swapped = join(folder.path, "volume");
    symlinkSync(outside.path, swapped);
    await expect(bind(endpointIn(swapped, true))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("symbolic link") as string,
    });
    expect(readdirSync(outside.path)).toEqual([]);
  });

  test.each<[string, (path: string, elsewhere: string) => void]>([
    ["is removed", (path) => unlinkSync(path)],
    ["is replaced by a file", (path) => (unlinkSync(path), writeFileSync(path, ""))],
    ["is replaced by a link", (path, elsewhere) => (unlinkSync(path), symlinkSync(elsewhere, path))],
    ["is replaced by an empty folder", (path) => (unlinkSync(path), mkdirSync(path))],
    ["is renamed", (path) => renameSync(path, `${path}.mine`)],
  ])("it restores a socket that %s, and reports this once", async (_, replace) => {
    await using folder = await temporaryFolder();
    await using outside = await temporaryFolder();
    const endpoint = endpointIn(folder.path, true);
    const problems: string[] = [];
    await using _bound = await bind(endpoint, { onProblem: (text) => problems.push(text) });
    const isBack = (): void => expect(lstatSync(endpoint.socket, { throwIfNoEntry: false })?.isSocket()).toBe(true);
    for (let time = 0; time < 2; time++) {
      replace(endpoint.socket, outside.path);
      await vi.waitFor(isBack, { timeout: 20_000 });
    }
    expect(await greeting(endpoint.socket)).toBe("hello");
    expect(problems).toEqual([expect.stringContaining("the tenant team removes or replaces its socket")]);
    expect(readdirSync(outside.path)).toEqual([]);
  });

  test("it keeps open connections when it restores the socket", async () => {
    await using folder = await temporaryFolder();
    const endpoint = endpointIn(folder.path, true);
    await using _bound = await bind(endpoint);
    const open = await connected(endpoint.socket);
    unlinkSync(endpoint.socket);
    await vi.waitFor(() => expect(existsSync(endpoint.socket)).toBe(true));
    open.end();
    expect(String((await once(open, "data"))[0])).toBe("hello");
  });

  test.each<[string, (path: string) => void]>([
    ["removed", (path) => rmSync(path, { recursive: true })],
    ["renamed", (path) => renameSync(path, `${path}-deleting`)],
    ["replaced by a link", (path) => (renameSync(path, `${path}-moved`), symlinkSync("/tmp", path))],
  ])("a folder that is %s removes the tenant", async (_, remove) => {
    await using folder = await temporaryFolder();
    const volume = join(folder.path, "volume");
    mkdirSync(volume);
    await using bound = await bind(endpointIn(volume, true), { interval: 50 });
    remove(volume);
    await vi.waitFor(() => expect(bound.gone.aborted).toBe(true));
    await bound[Symbol.asyncDispose]();
    expect(
      readdirSync(folder.path).flatMap((name) =>
        lstatSync(join(folder.path, name)).isDirectory() ? readdirSync(join(folder.path, name)) : [],
      ),
    ).toEqual([]);
  });
});

test("it removes only its own socket at the end", async () => {
  await using folder = await temporaryFolder();
  const endpoint = endpointIn(folder.path);
  const bound = await bind(endpoint, { interval: 1e6 });
  unlinkSync(endpoint.socket);
  const other = createServer().listen(endpoint.socket);
  await bound[Symbol.asyncDispose]();
  expect(lstatSync(endpoint.socket).isSocket()).toBe(true);
  other.close();
});

test("it removes the socket when the signal is aborted; connections stay until disposal", async () => {
  await using folder = await temporaryFolder();
  const stop = new AbortController();
  const endpoint = endpointIn(folder.path);
  const bound = await bindSocket(endpoint, greet, { onProblem: ignore, signal: stop.signal });
  const open = await connected(endpoint.socket);
  stop.abort();
  await vi.waitFor(() => expect(existsSync(endpoint.socket)).toBe(false));
  expect(String((await once(open, "data"))[0])).toBe("hello");
  const closed = once(open.resume(), "close");
  await bound[Symbol.asyncDispose]();
  await closed;
});

test("does not look like a leak of listeners to Node if one signal closes the sockets of many tenants", async () => {
  await using folder = await temporaryFolder();
  const guard = new AbortController();
  const paths = Array.from({ length: 12 }, (_, index) => join(folder.path, `${index}`));
  for (const path of paths) {
    mkdirSync(path);
    await bindSocket(endpointIn(path), greet, { onProblem: ignore, signal: guard.signal });
  }
  guard.abort();
  for (const path of paths) await vi.waitFor(() => expect(existsSync(join(path, "docker.sock"))).toBe(false));
});
