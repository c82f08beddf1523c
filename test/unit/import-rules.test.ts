import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { cycleIn, readSourceTree } from "../fixtures/source-tree.ts";

/** Libraries that only one file may import, a client and a server at most, so that replacing a library changes one file. */
const SOLE_IMPORTERS: Record<string, string[]> = {
  "@connectrpc/connect-node": ["engine/grpc/grpc-connection.ts", "engine/grpc/grpc-server.ts"],
  commander: ["cli.ts"],
  "http-proxy-3": ["registry/password-proxy.ts"],
  ignore: ["build-context/ignore/gitignore.ts"],
  "@ngrok/ngrok": ["registry/ngrok.ts"],
  yauzl: ["build-context/archive/zip-to-tar.ts"],
};

const root = join(import.meta.dirname, "../..");
const core = readSourceTree(join(root, "src"));
const server = readSourceTree(join(root, "server/src"), ["guard"]);

/** Reads a table of rooms in docs/architecture.md: | `room/` | holds | `room/`, `file.ts` |. Rooms of the server are `server/room/` in the first column. */
function tableOfRooms(prefix: "" | "server/"): Map<string, string[]> {
  const page = readFileSync(join(root, "docs/architecture.md"), "utf8");
  const rows = page.matchAll(new RegExp(`^\\| \`${prefix}((?:guard/)?[\\w.-]+/?)\` *\\|[^|]*\\|([^|]*)\\|$`, "gm"));
  return new Map(
    [...rows].map(([, room = "", imports = ""]) => [
      room,
      [...imports.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name).toSorted(),
    ]),
  );
}

describe.each([
  ["src/", core, ""],
  ["server/src/", server, "server/"],
] as const)("%s", (_, tree, prefix) => {
  test("the table of rooms in docs/architecture.md lists what the rooms import", () => {
    const actual = tree.rooms.map((room) => [room, tree.importedRooms(room).toSorted()] as const);
    expect(Object.fromEntries(actual)).toEqual(Object.fromEntries(tableOfRooms(prefix)));
  });

  test("no rooms import each other in a circle", () => {
    expect(cycleIn(tree.rooms, tree.importedRooms)).toBeUndefined();
  });

  test("a room and its subfolders import each other in one direction only", () => {
    const folders = [...new Set(tree.files.map(dirname))].filter((folder) => folder !== ".");
    expect(cycleIn(folders, tree.importedFolders)).toBeUndefined();
  });

  test("no files import each other in a circle", () => {
    expect(cycleIn(tree.files, tree.importedFiles)).toBeUndefined();
  });
});

test.each(Object.entries(SOLE_IMPORTERS))("no other file imports %s than %s", (library, importers) => {
  expect(core.files.filter((file) => core.importsOf(file).includes(library)).toSorted()).toEqual(importers);
});

test("one file exits, and one starts programs", () => {
  expect(core.having("process.exit(")).toEqual(["main.ts"]);
  expect(core.having('from "execa"')).toEqual(["child-process/start-program.ts"]);
  // The installer is a process of its own, sent as an argument: execa would be larger than all of it.
  expect(core.having("node:child_process")).toEqual(["remote/setup/install-here.ts"]);
});

test("the server imports one entry of the core, exits nowhere, and starts no programs", () => {
  const fromCore = server.files.flatMap(server.importsOf).filter((name) => name.startsWith("docker-over-ssh"));
  expect(new Set(fromCore)).toEqual(new Set(["docker-over-ssh/builds"]));
  expect(server.files.flatMap(server.importedFiles).filter((name) => name.startsWith("../"))).toEqual([]);
  for (const text of ["process.exit(", 'from "execa"', "node:child_process"]) expect(server.having(text)).toEqual([]);
});
