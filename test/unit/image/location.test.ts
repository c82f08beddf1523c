import { expect, test } from "vitest";
import { parseArchivedName } from "../../../src/image/archived-name.ts";
import { InvalidLocation, parseLocation } from "../../../src/image/location.ts";

test.each([
  ["docker-daemon:app:v2", { kind: "docker-daemon", name: "app:v2" }],
  ["docker-daemon:", { kind: "docker-daemon" }],
  ["docker-archive:app.tar", { kind: "docker-archive", path: "app.tar" }],
  [
    "docker-archive:/a b/app.tar:app:v2",
    { kind: "docker-archive", path: "/a b/app.tar", name: parseArchivedName("app:v2") },
  ],
  ["oci:./layout", { kind: "oci", path: "./layout" }],
  ["oci:./layout:v2", { kind: "oci", path: "./layout", name: parseArchivedName("v2") }],
  [
    "oci:layout:example.com:5000/app:v2",
    { kind: "oci", path: "layout", name: parseArchivedName("example.com:5000/app:v2") },
  ],
  ["oci-archive:x.tar:v2", { kind: "oci-archive", path: "x.tar", name: parseArchivedName("v2") }],
  ["oci:C:\\layout:v2", { kind: "oci", path: "C:\\layout", name: parseArchivedName("v2") }],
  ["oci:C:/layout", { kind: "oci", path: "C:/layout" }],
  // As with skopeo, the image of this name in an engine is docker-daemon:oci:v2.
  ["oci:v2", { kind: "oci", path: "v2" }],
])("%s", (given, location) => {
  expect(parseLocation(given)).toEqual({ given, ...location });
});

test.each(["app", "app:v2", "example.com/oci:v2", "ocis:x", "docker-archive", "Oci:x"])(
  "%s is the name of an image in an engine",
  (given) => {
    expect(parseLocation(given)).toBeUndefined();
  },
);

test.each(["oci:", "docker-archive::app:v2", "oci-archive:x.tar:"])("rejects %s", (given) => {
  expect(() => parseLocation(given)).toThrow(InvalidLocation);
});

test("a name in a layout may be any text", () => {
  expect(parseLocation("oci:layout:app:v2")).toMatchObject({
    name: { given: "app:v2", reference: { domain: "docker.io", path: "library/app", tag: "v2" } },
  });
  const fault = expect.stringContaining("must be in lower case") as string;
  expect(parseLocation("oci:layout:App:v2")).toMatchObject({ name: { given: "App:v2", fault } });
});
