import { expect, test } from "vitest";
import { pushJob, type PushOptionValues } from "../../../../src/commands/push.ts";

const ID = `sha256:${"0a".repeat(32)}`;

/** Returns which remote sides of a push are watches. */
function watches(image: string, command: string, options: PushOptionValues = {}): unknown[] {
  const words = { images: [image] as const, command: command.split(" ").filter((word) => word !== "") };
  return pushJob(words, { watch: true, ...options }, process.env).batch.remotes.map(({ watch }) => watch);
}

test.each([
  ["ssh://prod", {}],
  ["docker://box", { run: "true", keep: 3 }],
  ["ssh prod docker system dial-stdio", {}],
])("a watch of app:dev on %s %j", (command, options) => {
  expect(watches("app:dev", command, options)).toEqual([true]);
});

test("each of several hosts has a watch", () => {
  expect(watches("app:dev", "ssh://a ssh://b")).toEqual([true, true]);
  expect(watches("app:dev", "ssh://a", { watch: undefined })).toEqual([undefined]);
});

test.each<[string, string, PushOptionValues, string]>([
  ["app:dev", "ssh://prod", { dryRun: true }, "--watch and --dry-run contradict each other"],
  ["app:dev", "ssh://a ssh://b", { parallel: 2 }, "--watch and --parallel contradict each other"],
  ["app:dev", "ssh://a ssh://b", { relay: true }, "--watch and --relay contradict each other"],
  ["app:dev", "", {}, "--watch needs a remote side that it can start again"],
  ["app:dev", "ssh prod docker-over-ssh pull app:dev", {}, "--watch needs a remote side that it can start again"],
  [ID, "ssh://prod", { as: ["app:dev"] }, "names no tag in an engine"],
  [`app@${ID}`, "ssh://prod", {}, "names no tag in an engine"],
  ["docker-archive:app.tar", "ssh://prod", {}, "names no tag in an engine"],
  ["docker-archive:-", "ssh://prod", {}, "names no tag in an engine"],
])("rejects %s on %j %j", (image, command, options, message) => {
  expect(() => watches(image, command, options)).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringContaining(message) as string }),
  );
});
