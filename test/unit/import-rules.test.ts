import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { cycleIn, readSourceTree } from "../fixtures/source-tree.ts";

/** Libraries that only one file, or a client and a server, may import, so that replacing a library changes one file. */
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

/** Reads the rows `| `room/` | other cell |` of a section of a page. */
function rowsOf(page: string, section: string): (readonly [room: string, cell: string])[] {
  const [, text = ""] = readFileSync(join(root, page), "utf8").split(`\n## ${section}\n`);
  const [tables = ""] = text.split(/\n## /);
  return Array.from(
    tables.matchAll(/^\| `([\w./-]+)` \| (.*) \|$/gm),
    ([, room = "", cell = ""]) => [room, cell] as const,
  );
}

/** Returns the names in a cell: `other/`, `file.ts`. */
function namesIn(cell: string): string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
}

describe.each([
  ["src/", core, "docs/architecture.md", "The core"],
  ["server/src/", server, "docs/architecture-server.md", "The server"],
] as const)("%s", (_, tree, page, section) => {
  test(`${page} describes each room once`, () => {
    expect(
      rowsOf(page, "Rooms")
        .map(([room]) => room)
        .toSorted(),
    ).toEqual(tree.rooms.toSorted());
  });

  test("docs/imports.md lists the imports of the rooms", () => {
    const listed = rowsOf("docs/imports.md", section).map(([room, cell]) => [room, namesIn(cell).toSorted()] as const);
    const actual = tree.rooms.map((room) => [room, tree.importedRooms(room).toSorted()] as const);
    expect(Object.fromEntries(actual)).toEqual(Object.fromEntries(listed));
    expect(listed).toHaveLength(tree.rooms.length);
  });

  test("rooms do not import each other in a cycle", () => {
    expect(cycleIn(tree.rooms, tree.importedRooms)).toBeUndefined();
  });

  test("a room and its subfolders import each other in one direction only", () => {
    const folders = [...new Set(tree.files.map(dirname))].filter((folder) => folder !== ".");
    expect(cycleIn(folders, tree.importedFolders)).toBeUndefined();
  });

  test("files do not import each other in a cycle", () => {
    expect(cycleIn(tree.files, tree.importedFiles)).toBeUndefined();
  });
});

test.each(Object.entries(SOLE_IMPORTERS))("%s is imported only by %s", (library, importers) => {
  expect(core.files.filter((file) => core.importsOf(file).includes(library)).toSorted()).toEqual(importers);
});

test("only one file exits the process, and only one starts programs", () => {
  expect(core.having("process.exit(")).toEqual(["main.ts"]);
  expect(core.having('from "execa"')).toEqual(["child-process/start-program.ts"]);
  // The installer is a separate process, whose code is sent as an argument. execa would be larger than all of its code.
  expect(core.having("node:child_process")).toEqual(["remote/setup/install-on-host.ts"]);
});

test("the server imports one entry of the core, never exits the process, and starts no programs", () => {
  const fromCore = server.files.flatMap(server.importsOf).filter((name) => name.startsWith("docker-over-ssh"));
  expect(new Set(fromCore)).toEqual(new Set(["docker-over-ssh/builds"]));
  expect(server.files.flatMap(server.importedFiles).filter((name) => name.startsWith("../"))).toEqual([]);
  for (const text of ["process.exit(", 'from "execa"', "node:child_process"]) expect(server.having(text)).toEqual([]);
});
