import { describe, expect, test } from "vitest";
import { toEntryPath } from "../../../../src/build-context/paths.ts";
import { dockerignoreRules } from "../../../../src/build-context/ignore/dockerignore.ts";

/** Walks down to a path, like a reader of the context. */
function isExcluded(text: string, path: string): boolean {
  const names = toEntryPath(path).split("/");
  let rules = dockerignoreRules(text, ".dockerignore");
  for (let depth = 1; depth < names.length; depth += 1) {
    const { inside } = rules.enter(names.slice(0, depth).join("/"));
    if (!inside) return true;
    rules = inside;
  }
  return !rules.includes(names.join("/"));
}

interface Row {
  of: string;
  lines: string | string[];
  excluded?: string[];
  kept?: string[];
}

// The cases are from moby/patternmatcher, its ignorefile, fsutil's walker and BuildKit's .dockerignore tests.
const ROWS: Row[] = [
  { of: "a name", lines: "docs", excluded: ["docs", "docs/a/b"], kept: ["x/docs", "docs2", "Docs"] },
  { of: "a folder with a slash", lines: "docs/", excluded: ["docs", "docs/a"] },
  { of: "a path", lines: "a/b", excluded: ["a/b", "a/b/c"], kept: ["a", "a/c", "x/a/b"] },
  { of: "a slash at the start", lines: "/a/file/here", excluded: ["a/file/here"], kept: ["a/file/there"] },
  { of: "dots in a path", lines: "./a/../b//c", excluded: ["b/c"], kept: ["a"] },
  { of: "a path that leads out", lines: "../a", kept: ["a", "..a"] },
  { of: "the context itself", lines: [".", "/", "./"], kept: ["a", ".a"] },

  { of: "*", lines: "*", excluded: ["a", ".hidden", "a/b"] },
  { of: "* in a name", lines: "*.go", excluded: ["a.go", ".go", "a.go/x"], kept: ["a/b.go", "a.gox"] },
  { of: "a* of what is in a folder", lines: "a*", excluded: ["a", "abc", "ab/c"], kept: ["ba"] },
  {
    of: "* does not match a slash",
    lines: ["a*b", "a*/b"],
    excluded: ["acb", "abc/b", "a/b"],
    kept: ["a/c/b", "a/xb"],
  },
  {
    of: "several *",
    lines: "a*b*c*d*e*/f",
    excluded: ["axbxcxdxe/f", "axbxcxdxexxx/f"],
    kept: ["axbxcxdxe/xxx/f", "axbxcxdxexxx/fff"],
  },
  { of: "* and ?", lines: "a*b?c*x", excluded: ["abxbbxdbxebxczzx"], kept: ["abxbbxdbxebxczzy"] },
  { of: "? is one character", lines: "a?b", excluded: ["a☺b", "axb"], kept: ["ab", "a/b", "axxb"] },
  { of: "a dot is a dot", lines: ["abc.def", ".*"], excluded: ["abc.def", ".foo"], kept: ["abcdef", "abcZdef", "foo"] },

  { of: "**", lines: "**", excluded: ["a", "a/b", "a/b/c"] },
  { of: "**/ and **/**", lines: "**/", excluded: ["a", "a/b"] },
  { of: "**/** without a folder", lines: "**/**", excluded: ["a", "a/b"] },
  { of: "** at the end is not the folder", lines: "abc/**", excluded: ["abc/d", "abc/d/e"], kept: ["abc"] },
  { of: "** at the start", lines: "**/dir", excluded: ["dir", "dir/x", "a/dir", "a/b/dir/x"], kept: ["adir"] },
  { of: "** without a slash", lines: "**file", excluded: ["file", "a/file", "a/xfile"], kept: ["files"] },
  { of: "** and a dot", lines: "**/.foo", excluded: [".foo", "a/.foo"], kept: ["bar.foo"] },
  {
    of: "** and *",
    lines: ["**/file*.txt", "**/dir2/*"],
    excluded: ["a/b/file.txt", "file1.txt", "a/dir2/x", "dir2/x/y"],
    kept: ["a/dir2", "file.txd"],
  },
  { of: "** twice", lines: "**/**/*.txt", excluded: ["a.txt", "a/b/c.txt"], kept: ["a/b/c.txt2"] },
  { of: "** in the middle", lines: "**/dir2/**", excluded: ["a/dir2/b/c"], kept: ["a/dir2"] },
  { of: "** after letters", lines: "a**/*.txt", excluded: ["a/f.txt", "a/b/c/f.txt", "ab/f.txt"], kept: ["b/f.txt"] },
  { of: "** after a wildcard", lines: "a/*.txt**", excluded: ["a/f.txt", "a/f.txt.old/x"], kept: ["a/b/f.txt"] },
  { of: "*** is ** and *", lines: "a/***", excluded: ["a/b", "a/b/c"], kept: ["a"] },

  { of: "a class", lines: "a[b-d]e", excluded: ["ace"], kept: ["ae", "aae", "a/e"] },
  { of: "a class that is negated", lines: "a[^b-d]e", excluded: ["aze", "a☺e"], kept: ["ace"] },
  { of: "a class of other letters", lines: ["[a-ζ]*"], excluded: ["α", "b"], kept: ["A"] },
  { of: "escapes in a class", lines: String.raw`[\]a\-x]`, excluded: ["]", "a", "-", "x"], kept: ["z", "\\"] },
  { of: "! in a class is a character", lines: "[!a]", excluded: ["!", "a"], kept: ["b"] },
  { of: "a named class", lines: "x[[:digit:]]", excluded: ["x1"], kept: ["xa", "x:"] },
  { of: "* in a class is what moby makes of it", lines: "a[*]", excluded: ["a]", "a[^]"], kept: ["a*"] },
  { of: "an escape", lines: String.raw`a\*b`, excluded: ["a*b"], kept: ["ab", "axb"] },
  { of: "an escaped backslash", lines: String.raw`a\\`, excluded: ["a\\"], kept: ["a"] },
  {
    of: "escaped letters are those of Go's regular expressions",
    lines: String.raw`x\d\s`,
    excluded: ["x1 "],
    kept: ["xds", "x1\u00a0"],
  },

  {
    of: "braces and brackets are themselves",
    lines: ["a(b)c/def", "a.|)$(}+{bc"],
    excluded: ["a(b)c/def", "a.|)$(}+{bc"],
    kept: ["a(b)c/xyz"],
  },
  { of: "a long name", lines: "dist/*.whl", excluded: ["dist/p.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl"] },
  { of: "braces are no alternatives", lines: "{a,b}", excluded: ["{a,b}"], kept: ["a", "b"] },
  { of: "| with a wildcard, which moby does not escape", lines: "a|*.b", excluded: ["x.b", "abc"], kept: ["x.c"] },
  { of: "a line end in a name", lines: "**/x*", excluded: ["a/x", "\u2028/x", "\r/x"], kept: ["\n\n/y"] },

  { of: "an exception", lines: ["*.go", "!a.go"], excluded: ["b.go"], kept: ["a.go"] },
  { of: "an exception before", lines: ["!a.go", "*.go"], excluded: ["a.go"] },
  {
    of: "an exception in a folder",
    lines: ["docs", "!docs/README.md"],
    excluded: ["docs/a", "docs/README"],
    kept: ["docs/README.md"],
  },
  {
    of: "an exception below *",
    lines: ["docs/*", "!docs/README.md"],
    excluded: ["docs/a"],
    kept: ["docs", "docs/README.md"],
  },
  {
    of: "an exception for a folder",
    lines: ["**", "!util/docker/web"],
    excluded: ["util/x", "util/docker"],
    kept: ["util/docker/web/foo"],
  },
  {
    of: "exceptions with wildcards",
    lines: ["**", "!**/*.md"],
    excluded: ["a", "a/b.txt"],
    kept: ["x.md", "a/b/c.md"],
  },
  {
    of: "several changes of mind",
    lines: ["foo", "!foo/bar", "foo/bar/baz", "!foo/bar/baz/x"],
    excluded: ["foo/a", "foo/bar/baz/y"],
    kept: ["foo/bar/a", "foo/bar/baz/x"],
  },
  {
    of: "the last match decides",
    lines: ["*.md", "!README*.md", "README-secret.md"],
    excluded: ["a.md", "README-secret.md"],
    kept: ["README.md"],
  },
  {
    of: "an exception that has matched a folder when it could change nothing",
    lines: ["a/b/c", "!a"],
    excluded: ["a/b/c"],
    kept: ["a/x"],
  },
  { of: "an exception for a name with !", lines: ["*", "!!a"], excluded: ["a"], kept: ["!a"] },
  {
    of: "an exception with a slash and spaces",
    lines: ["*", "! /inverted/abs/path "],
    excluded: ["x"],
    kept: ["inverted/abs/path"],
  },

  { of: "spaces around a line", lines: ["  a\t", "\u00a0b\u3000"], excluded: ["a", "b"], kept: [" a"] },
  { of: "a space in a name", lines: "a b", excluded: ["a b"] },
  { of: "comments", lines: ["# a", "#b", " #c"], excluded: ["#c"], kept: ["a", "b", "#b", "# a"] },
  { of: "a byte order mark", lines: "\uFEFFa", excluded: ["a"] },
  { of: "a byte order mark later on", lines: ["x", "\uFEFFa"], excluded: ["\uFEFFa"], kept: ["a"] },
  { of: "line ends of Windows", lines: ["a\r", "!a/b\r"], excluded: ["a/c"], kept: ["a/b"] },
  { of: "empty lines", lines: ["", "  ", ""], kept: ["a"] },
  {
    of: "BuildKit's own example",
    lines: ["ba*", "Dockerfile", "!bay", ".dockerignore"],
    excluded: ["bar", "baz", "Dockerfile", ".dockerignore"],
    kept: ["foo", "bay"],
  },
];

describe("a .dockerignore has the same meaning as in BuildKit", () => {
  test.each(ROWS)("$of: $lines", ({ lines, excluded = [], kept = [] }) => {
    const text = [lines].flat().join("\n");
    expect(excluded.filter((path) => !isExcluded(text, path))).toEqual([]);
    expect(kept.filter((path) => isExcluded(text, path))).toEqual([]);
  });

  test("matches a name that is not UTF-8 in its decoded form", () => {
    const rules = dockerignoreRules("*.txt", ".dockerignore");
    expect(rules.includes("\xff.txt")).toBe(false);
    expect(rules.includes("\xff.log")).toBe(true);
  });
});

test.each<[string, string]>([
  ["!", "nothing after !"],
  ["! ", "nothing but a space after !"],
  ["!/", "the context as an exception"],
  ["[", "a class without an end"],
  ["a[^bc", "a class that is negated, without an end"],
  ["[]a]", "an empty class"],
  ["[-x]", "a range without a start"],
  ["[x-]", "a range without an end"],
  ["[a-b-c]", "a range in a range"],
  ["[Local-Only]/", "a range from a higher to a lower letter"],
  ["\\", "a backslash at the end"],
  ["src\\obj", "an escape that Go's regular expressions do not have"],
])("rejects %j, naming the line: %s", (line) => {
  expect(() => dockerignoreRules(`ok\n${line}`, "app.dockerignore")).toThrow(
    expect.objectContaining({
      code: "context-invalid",
      message: expect.stringContaining("app.dockerignore, line 2: ") as string,
    }),
  );
});

describe("an excluded folder", () => {
  test.each<[string[], string, boolean]>([
    [["a"], "a", false],
    [["a", "!b/c"], "a", false],
    [["a", "!a/b"], "a", true],
    [["a", "!ab/c"], "a", false],
    [["a", "!a/b/**"], "a", true],
    [["a", "!a/b/*"], "a/c", false],
    [["a", "!a/b/**"], "a/c", false],
    [["a", "!**/x"], "a/c", true],
  ])("with %s: %s is read: %s", (lines, folder, isRead) => {
    const names = folder.split("/");
    let verdict = dockerignoreRules(lines.join("\n"), ".dockerignore").enter(names[0] as string);
    if (names.length > 1) verdict = verdict.inside?.enter(folder) ?? verdict;
    expect(verdict.isIncluded).toBe(false);
    expect(verdict.inside !== undefined).toBe(isRead);
  });
});
