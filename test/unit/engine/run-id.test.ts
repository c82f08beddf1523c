import { expect, test } from "vitest";
import { isRunId, lifeOf, newRunId, runsOfName, temporaryName } from "../../../src/engine/run-id.ts";

test("a run id tells whether its process is still there", () => {
  expect(lifeOf(newRunId())).toBe("alive");
  expect(lifeOf(newRunId(4242), (pid) => pid !== 4242)).toBe("dead");
});

test("another host's run cannot be told from here", () => {
  const foreign = newRunId().replace(/^.{8}/, "00000000");
  expect(isRunId(foreign)).toBe(true);
  expect(lifeOf(foreign)).toBe("elsewhere");
});

test("a temporary name carries the runs of both sides, and fits a tag", () => {
  const runs = [newRunId(), newRunId(4_194_304)];
  const name = temporaryName("127.0.0.1:5000", "team/app", runs);
  expect(runsOfName(name)).toEqual(runs);
  expect(name.split(":").at(-1)).toMatch(/^\w[\w.-]{0,127}$/);
});

test.each(["app:v1", "127.0.0.1:5000/docker-over-ssh/app:v1", "docker-over-ssh/app:latest", `localhost/app:${newRunId()}`])(
  "%s is nobody's temporary name",
  (name) => {
    expect(runsOfName(name)).toEqual([]);
  },
);
