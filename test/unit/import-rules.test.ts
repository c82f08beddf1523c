import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

/** Libraries that only one file may import, a client and a server at most, so that replacing a library changes one file. */
const SOLE_IMPORTERS: Record<string, string[]> = {
  "@connectrpc/connect-node": ["engine/grpc/grpc-connection.ts", "engine/grpc/grpc-server.ts"],
  commander: ["cli.ts"],
  "http-proxy-3": ["registry/password-proxy.ts"],
  ignore: ["build-context/ignore/gitignore.ts"],
  "@ngrok/ngrok": ["registry/ngrok.ts"],
  yauzl: ["build-context/archive/zip-to-tar.ts"],
};

const src = join(import.meta.dirname, "../../src");
const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), "utf8");
  return [...text.matchAll(/(?:from|import\(|^import)\s*"([^"]+)"/gm)].map(([, name = ""]) => name);
}

/** A room is a file or a folder of src/. */
const roomOf = (file: string): string => file.split("/")[0] ?? "";
const shown = (room: string): string => (room.endsWith(".ts") ? room : `${room}/`);

/** Returns the files of src/ that a file imports. */
function importedFiles(file: string): string[] {
  return importsOf(file)
    .filter((name) => name.startsWith("."))
    .map((name) => normalize(join(dirname(file), name)));
}

/** Returns the other rooms that a room imports. */
function importedRooms(room: string): string[] {
  const rooms = files.filter((file) => roomOf(file) === room).flatMap((file) => importedFiles(file).map(roomOf));
  return [...new Set(rooms)].filter((other) => other !== room).map(shown);
}

/** Returns the other folders of the same room that a folder imports: subfolders, siblings, and the folder above it. */
function importedFolders(folder: string): string[] {
  const imported = files.filter((file) => dirname(file) === folder).flatMap(importedFiles);
  const folders = imported.filter((file) => roomOf(file) === roomOf(folder)).map(dirname);
  return [...new Set(folders)].filter((other) => other !== folder);
}

/** Returns the nodes of a circle of imports, the first one again at the end; undefined when there is none. */
function cycleIn(nodes: readonly string[], imported: (node: string) => string[]): string[] | undefined {
  const done = new Set<string>();
  const cycleFrom = (node: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    for (const next of imported(node)) {
      const cycle = cycleFrom(next, [...path, node]);
      if (cycle !== undefined) return cycle;
    }
    done.add(node);
    return undefined;
  };
  for (const node of nodes) {
    const cycle = cycleFrom(node, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/** Reads the table of rooms in docs/architecture.md: | `room/` | holds | `room/`, `file.ts` | */
function tableOfRooms(): Map<string, string[]> {
  const page = readFileSync(join(src, "../docs/architecture.md"), "utf8");
  const rows = page.matchAll(/^\| `([\w.-]+\/?)` *\|[^|]*\|([^|]*)\|$/gm);
  return new Map(
    [...rows].map(([, room = "", imports = ""]) => [
      room,
      [...imports.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name).toSorted(),
    ]),
  );
}

test("the table of rooms in docs/architecture.md lists what the rooms import", () => {
  const actual = [...new Set(files.map(roomOf))].map((room) => [shown(room), importedRooms(room).toSorted()] as const);
  expect(Object.fromEntries(actual)).toEqual(Object.fromEntries(tableOfRooms()));
});

test("no rooms import each other in a circle", () => {
  const rooms = [...new Set(files.map(roomOf))].map(shown);
  expect(cycleIn(rooms, (room) => importedRooms(room.replace(/\/$/, "")))).toBeUndefined();
});

test("a room and its subfolders import each other in one direction only", () => {
  const folders = [...new Set(files.map(dirname))].filter((folder) => folder !== ".");
  expect(cycleIn(folders, importedFolders)).toBeUndefined();
});

test("no files import each other in a circle", () => {
  expect(cycleIn(files, importedFiles)).toBeUndefined();
});

test.each(Object.entries(SOLE_IMPORTERS))("no other file imports %s than %s", (library, importers) => {
  expect(files.filter((file) => importsOf(file).includes(library)).toSorted()).toEqual(importers);
});

test("one file exits, and one starts programs", () => {
  const having = (text: string): string[] =>
    files.filter((file) => readFileSync(join(src, file), "utf8").includes(text)).toSorted();
  expect(having("process.exit(")).toEqual(["main.ts"]);
  expect(having('from "execa"')).toEqual(["child-process/start-program.ts"]);
  // The installer is a process of its own, sent as an argument: execa would be larger than all of it.
  expect(having("node:child_process")).toEqual(["remote/setup/install-here.ts"]);
});
