import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

/** Libraries that only one file may import, so that replacing a library changes one file. */
const SOLE_IMPORTERS: Record<string, string> = {
  "@connectrpc/connect-node": "engine/buildkit/grpc-connection.ts",
  commander: "cli.ts",
  "http-proxy-3": "registry/password-proxy.ts",
  "@ngrok/ngrok": "registry/ngrok.ts",
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

/** Returns the other rooms that a room imports. */
function importedRooms(room: string): string[] {
  const rooms = files
    .filter((file) => roomOf(file) === room)
    .flatMap((file) =>
      importsOf(file)
        .filter((name) => name.startsWith("."))
        .map((name) => roomOf(normalize(join(dirname(file), name)))),
    );
  return [...new Set(rooms)].filter((other) => other !== room).map(shown);
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

test("no two rooms import each other", () => {
  const rooms = [...new Set(files.map(roomOf))];
  const pairs = rooms.flatMap((room) =>
    importedRooms(room)
      .filter((other) => shown(room) < other && importedRooms(other.replace(/\/$/, "")).includes(shown(room)))
      .map((other) => [shown(room), other]),
  );
  expect(pairs).toEqual([]);
});

test("no files import each other in a circle", () => {
  const done = new Set<string>();
  const cycleFrom = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const name of importsOf(file).filter((one) => one.startsWith("."))) {
      const cycle = cycleFrom(normalize(join(dirname(file), name)), [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of files) expect(cycleFrom(file, [])).toBeUndefined();
});

test.each(Object.entries(SOLE_IMPORTERS))("only one file imports %s: %s", (library, importer) => {
  expect(files.filter((file) => importsOf(file).includes(library))).toEqual([importer]);
});

test("one file exits, and one starts programs", () => {
  const having = (text: string): string[] =>
    files.filter((file) => readFileSync(join(src, file), "utf8").includes(text)).toSorted();
  expect(having("process.exit(")).toEqual(["main.ts"]);
  expect(having('from "execa"')).toEqual(["child-process/start-program.ts"]);
  expect(having("node:child_process")).toEqual([]);
});
