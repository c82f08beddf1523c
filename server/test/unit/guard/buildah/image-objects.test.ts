import { expect, test } from "vitest";
import type { ImageFilter } from "../../../../src/guard/backend.ts";
import { filterImages } from "../../../../src/guard/buildah/image-objects.ts";
import { findImage, type StoredImage } from "../../../../src/guard/buildah/stored-images.ts";

const HOUR = 3_600_000;

function stored(digits: string, names: readonly string[], hours: number, Labels = {}): StoredImage {
  const created = new Date(hours * HOUR).toISOString();
  return {
    id: `sha256:${digits.padEnd(64, "0")}`,
    names,
    created,
    config: { config: { Labels } },
    layers: [],
    size: 0,
    isStamped: true,
    isOwn: true,
  };
}

const IMAGES = [
  stored("aa1", ["docker.io/library/app:v1", "docker.io/team/app:v2"], 1, { team: "red" }),
  stored("aa2", ["r.example/app:v1"], 2),
  stored("bb3", [], 3),
];

const listed = (filter: Partial<ImageFilter>): (readonly string[])[] =>
  filterImages(
    IMAGES,
    { all: false, digests: false, references: [], labels: [], before: [], since: [], until: [], ...filter },
    4 * HOUR,
  ).map(({ names }) => names);
const [app, other, dangling] = IMAGES.map(({ names }) => names);

test.each<[Partial<ImageFilter>, unknown[]]>([
  [{}, [dangling, other, app]],
  [{ references: ["app"] }, [["docker.io/library/app:v1"]]],
  [{ references: ["*/app:v[2-3]"] }, [["docker.io/team/app:v2"]]],
  [{ labels: ["team=red"] }, [app]],
  [{ labels: ["team=blue"] }, []],
  [{ labels: ["constructor"] }, []],
  [{ dangling: true }, [dangling]],
  [{ before: ["aa2"] }, [app]],
  [{ since: ["app:v1"] }, [dangling, other]],
  [{ until: ["90m"] }, [other, app]],
])("the filter %j", (filter, found) => expect(listed(filter)).toEqual(found));

test.each<[rule: string, filter: Partial<ImageFilter>]>([
  ["image.unknown", { before: ["none:v1"] }],
  ["image.ambiguous", { since: ["aa"] }],
  ["filter.time", { until: ["yesterday"] }],
  ["filter.pattern", { references: ["["] }],
])("%s refuses %j", (rule, filter) => {
  expect(() => listed(filter)).toThrow(expect.objectContaining({ rule }));
});

test("matches a pattern with many stars as fast as another", () => {
  const long = [stored("cc", [`docker.io/library/${"a".repeat(120)}:v1`], 1)];
  const filter = { all: false, digests: false, labels: [], before: [], since: [], until: [] };
  // A regular expression with as many stars would take years, during which no tenant gets an answer.
  expect(filterImages(long, { ...filter, references: [`${"*a".repeat(20)}*b`] }, 0)).toEqual([]);
});

test("prefers a name to the beginning of an ID", () => {
  const images = [...IMAGES, stored("cc", ["docker.io/library/bb3:latest"], 1)];
  expect(findImage(images, "bb3")?.id).toMatch(/^sha256:cc/);
  expect(findImage(images, "sha256:bb3")?.id).toMatch(/^sha256:bb3/);
});
