import { describe, expect, test } from "vitest";
import { pathsInGitIndex } from "../../../../src/build-context/ignore/git-index.ts";
import { pseudoRandom } from "../../pseudo-random.ts";

/** Index files that git 2.39 has written for a.txt, dir/b and a third file. In version 3, the third file is added with --intent-to-add. */
const INDEXES = {
  2: "RElSQwAAAAIAAAADawyehBIYenZrDJ6EEhh6dgAA/gAAmFqyAACBpAAAAAAAAAAAAAAAAniYGSJhOyr7YCUEL/a9h4rBmU6FAAVhLnR4dAAAAAAAawyehBIYenZrDJ6EEhh6dgAA/gAAmFqwAACBpAAAAAAAAAAAAAAAAmF4B5gijRevLTT85M+981VWgyRyAAVkaXIvYgAAAAAAawyehBKSjHZrDJ6EEpKMdgAA/gAAmFqpAACBpAAAAAAAAAAAAAAAAvKtbHbwEVprpbAEVqhJgQ5+wK8gAApkaXIvc3ViL/9jAAAAAAAAAAA9NHBH1mVKLZ0CKf7pJ09XvujX9w==",
  3: "RElSQwAAAAMAAAADawyehBIYenZrDJ6EEhh6dgAA/gAAmFqyAACBpAAAAAAAAAAAAAAAAniYGSJhOyr7YCUEL/a9h4rBmU6FAAVhLnR4dAAAAAAAawyehBIYenZrDJ6EEhh6dgAA/gAAmFqwAACBpAAAAAAAAAAAAAAAAmF4B5gijRevLTT85M+981VWgyRyAAVkaXIvYgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACBpAAAAAAAAAAAAAAAAOad4puy0dZDS4sprnda2MLkjFORQAUgAGRpci9kAAAAQxcAICdMAEbDpPM29KYqKjD6wEs=",
  4: "RElSQwAAAAQAAAADawyehBIYenZrDJ6EEhh6dgAA/gAAmFqyAACBpAAAAAAAAAAAAAAAAniYGSJhOyr7YCUEL/a9h4rBmU6FAAUAYS50eHQAawyehBIYenZrDJ6EEhh6dgAA/gAAmFqwAACBpAAAAAAAAAAAAAAAAmF4B5gijRevLTT85M+981VWgyRyAAUFZGlyL2IAawyehBKSjHZrDJ6EEpKMdgAA/gAAmFqpAACBpAAAAAAAAAAAAAAAAvKtbHbwEVprpbAEVqhJgQ5+wK8gAAoBc3ViL/9jABbPeaYopc/mS0DGtZRsJhpxrQ4l",
  sha256:
    "RElSQwAAAAIAAAACawyehB0QGG9rDJ6EHRAYbwAA/gAAmFntAACBpAAAAAAAAAAAAAAAAvhiXkP54E8kKR93zb5McbPCo7AAP2BBmz7QagWNdmyLAAVhLnR4dABrDJ6EHcczb2sMnoQdxzNvAAD+AACYWd4AAIGkAAAAAAAAAAAAAAACm2nTCMl/LFkz/dDozgSszpHAnLlp42ofhnVvxaXTMjoABWRpci9iALX+iXxpZgCOV4m34AScTJGKWdMVCWfwDN58z0aAGHCS",
};
const index = (name: keyof typeof INDEXES): Buffer => Buffer.from(INDEXES[name], "base64");

describe("the paths in a git index", () => {
  test.each<[keyof typeof INDEXES, string[]]>([
    [2, ["a.txt", "dir/b", "dir/sub/\xffc"]],
    [3, ["a.txt", "dir/b", "dir/d"]],
    [4, ["a.txt", "dir/b", "dir/sub/\xffc"]],
  ])("of version %s", (version, paths) => {
    expect(pathsInGitIndex(index(version), 20)).toEqual(paths);
  });

  test("of a repository with SHA-256", () => {
    expect(pathsInGitIndex(index("sha256"), 32)).toEqual(["a.txt", "dir/b"]);
  });

  test.each<[string, Buffer]>([
    ["empty", Buffer.alloc(0)],
    ["no index", Buffer.from("not an index, but long enough for a header")],
    ["of another version", Buffer.concat([Buffer.from("DIRC"), Buffer.from([0, 0, 0, 9]), index(2).subarray(8)])],
  ])("a file that is %s contains none", (_, content) => {
    expect(pathsInGitIndex(content, 20)).toEqual([]);
  });

  test("reading stops at damage, and at the end if the count is too high", () => {
    for (const version of [2, 4] as const) {
      const whole = index(version);
      for (let length = 0; length < whole.length; length += 1) pathsInGitIndex(whole.subarray(0, length), 20);
      const random = pseudoRandom(version);
      for (let round = 0; round < 2000; round += 1) {
        const damaged = Buffer.from(whole);
        for (let changes = 0; changes < 4; changes += 1) {
          damaged[8 + Math.floor(random() * (damaged.length - 8))] = Math.floor(random() * 256);
        }
        expect(pathsInGitIndex(damaged, 20).length).toBeLessThan(whole.length);
      }
    }
  });
});
