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

/** Reads the tables of a page: | `room/` | its content | in the section Rooms, | `room/` | `other/`, `file.ts` | in the section Imports. */
function readTables(page: string): { rooms: string[]; imports: Record<string, string[]> } {
  const [tour = "", imports = ""] = readFileSync(join(root, page), "utf8").split("\n## Imports\n");
  const rowsOf = (text: string) => [...text.matchAll(/^\| `([\w./-]+)` \| (.*) \|$/gm)];
  const namesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
  return {
    rooms: rowsOf(tour.split("\n## Rooms\n")[1] ?? "").map(([, room = ""]) => room),
    imports: Object.fromEntries(
      rowsOf(imports).map(([, room = "", cell = ""]) => [room, namesIn(cell).toSorted()] as const),
    ),
  };
}

describe.each([
  ["src/", core, "docs/architecture.md"],
  ["server/src/", server, "docs/architecture-server.md"],
] as const)("%s", (_, tree, page) => {
  const { rooms, imports } = readTables(page);

  test(`${page} describes each room once`, () => {
    expect(rooms.toSorted()).toEqual(tree.rooms.toSorted());
  });

  test(`${page} lists the imports of the rooms`, () => {
    const actual = tree.rooms.map((room) => [room, tree.importedRooms(room).toSorted()] as const);
    expect(Object.fromEntries(actual)).toEqual(imports);
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
