import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { PlainHeaders } from "../../src/plain-headers.ts";

const inits: ConstructorParameters<typeof PlainHeaders>[0][] = [
  undefined,
  {},
  { "Content-Type": "application/grpc", "grpc-status": "0" },
  [
    ["te", "trailers"],
    ["X-Bin", "AAE="],
    ["x-bin", " AQ\t"],
    ["B", ""],
    ["a", "last"],
  ],
];

/** Returns everything observable about the headers after some changes. */
function played(headers: Headers | PlainHeaders): unknown {
  headers.set("Grpc-Timeout", "5S");
  headers.append("grpc-timeout", "\n6S ");
  headers.append("New", "1");
  headers.set("x-bin", " once more ");
  headers.delete("TE");
  headers.delete("nobody");
  const each: string[] = [];
  headers.forEach((value, name) => each.push(`${name}: ${value}`));
  const asked = ["GRPC-timeout", "new", "te", "x-Bin", "content-type"].map((name) => [
    headers.get(name),
    headers.has(name),
  ]);
  return { each, asked, entries: [...headers], copy: [...new PlainHeaders(headers)] };
}

test.each(inits.map((init) => [init]))("equal the standard headers: %j", (init) => {
  expect([...new PlainHeaders(init)]).toEqual([...new Headers(init as Record<string, string>)]);
  expect(played(new PlainHeaders(init))).toEqual(played(new Headers(init as Record<string, string>)));
});

test("the command uses them for gRPC", async () => {
  const dist = join(import.meta.dirname, "../../dist");
  const file = readdirSync(dist).find((name) => name.startsWith("command-")) ?? "";
  expect(readFileSync(join(dist, file), "utf8")).toMatch(/new PlainHeaders\(/);
  // PlainHeaders has the methods that the library uses today. A later version of the library may use more.
  const { stdout } =
    await execa`grep -rhoE ${String.raw`\b(getSetCookie|headers?\.(keys|values|entries)|instanceof Headers)\b`} ${join(dist, "../node_modules/@connectrpc")} --include=*.js`.catch(
      () => ({ stdout: "" }),
    );
  expect(stdout).toBe("");
});
