import { Failure, EngineError } from "docker-over-ssh/builds";
import { describe, expect, test } from "vitest";
import { Stopped } from "../../../src/store/job-store.ts";
import { NAME, RunBed } from "../../fixtures/run-bed.ts";
import { untilAborted } from "../../fixtures/stand-in-engine.ts";

test("a cancelled build ends, and leaves nothing", async () => {
  using bed = new RunBed();
  bed.stopInBuild(new Stopped("cancelled"));
  expect(await bed.run()).toMatchObject({ state: "cancelled", reason: { code: "cancelled" } });
  expect(bed.engine.images.size).toBe(0);
  expect(bed.lines.at(-1)).toBe("error: the build was cancelled");
});

test("a job that was cancelled before it began does not begin", async () => {
  using bed = new RunBed();
  bed.claimEnd.abort(new Stopped("cancelled"));
  expect(await bed.run()).toMatchObject({ state: "cancelled" });
  expect(bed.engine.orders).toEqual([]);
});

test("a cancelled push ends, and the image is removed", async () => {
  using bed = new RunBed();
  bed.engine.onPublish = async (_, { signal }) => {
    bed.claimEnd.abort(new Stopped("cancelled"));
    await untilAborted(signal);
  };
  expect(await bed.run()).toMatchObject({ state: "cancelled" });
  expect(bed.engine.images.size).toBe(0);
});

test("ignores an engine's error after its work was aborted, in the outcome of the job", async () => {
  using bed = new RunBed();
  bed.engine.onPublish = async () => {
    bed.claimEnd.abort(new Stopped("cancelled"));
    throw new EngineError("context canceled");
  };
  expect(await bed.run()).toMatchObject({ state: "cancelled" });
});

test("a job that is cancelled after the push has succeeded", async () => {
  using bed = new RunBed();
  const { engine } = bed;
  const remove = engine.removeReference.bind(engine);
  engine.removeReference = async (reference) => {
    bed.claimEnd.abort(new Stopped("cancelled"));
    await remove(reference);
  };
  expect(await bed.run()).toEqual({ state: "succeeded" });
  expect(engine.images.size).toBe(0);
});

test("a stopping server queues the job again, and the run does not count", async () => {
  using bed = new RunBed();
  bed.engine.onBuild = async (_, { signal }) => {
    bed.stop.abort(new Stopped("stopping"));
    await untilAborted(signal);
  };
  const reason = { code: "server-stopped", message: "the server was stopped" };
  expect(await bed.run()).toEqual({ state: "again", isFree: true, delay: 0, reason });
});

describe("a lost lease", () => {
  test("queues the job again, and keeps an image of another run under the name", async () => {
    using bed = new RunBed();
    let other = "";
    bed.engine.onBuild = async (_, { signal }) => {
      other = bed.engine.addImage(NAME);
      bed.claimEnd.abort(new Stopped("lost"));
      signal.throwIfAborted();
    };
    expect(await bed.run()).toMatchObject({ state: "again", isFree: false, reason: { code: "lease-lost" } });
    expect(bed.engine.idOf(NAME)).toBe(other);
  });

  test("in the push: removes the image of this run", async () => {
    using bed = new RunBed();
    bed.engine.onPublish = async (_, { signal }) => {
      bed.claimEnd.abort(new Stopped("lost"));
      signal.throwIfAborted();
    };
    await bed.run();
    expect(bed.engine.images.size).toBe(0);
  });
});

test.each([
  ["the token's", { time: 30 }, 60_000],
  ["the server's", { time: 60_000 }, 30],
])("a build that takes longer than %s limit ends, and leaves nothing", async (_, limits, maxTime) => {
  using bed = new RunBed();
  bed.maxTime = maxTime;
  const earlier = bed.engine.addImage(NAME);
  bed.engine.onBuild = async (__, { signal }) => await untilAborted(signal);
  const reason = { code: "time-limit", message: "the build has exceeded its time limit of 0.0 s" };
  expect(await bed.run({ order: { limits } })).toMatchObject({ state: "timed_out", reason });
  expect([...bed.engine.images.keys()]).toEqual([earlier]);
});

test("a job whose engine becomes unavailable during the build runs again later", async () => {
  using bed = new RunBed();
  bed.engine.onBuild = async () => {
    throw new Failure("engine-unreachable", "cannot reach the engine");
  };
  const reason = { code: "engine-unreachable", message: "cannot reach the engine" };
  expect(await bed.run()).toEqual({ state: "again", isFree: false, delay: 5_000, reason });
});

test("an error of the engine fails the job", async () => {
  using bed = new RunBed();
  bed.engine.onBuild = async () => {
    throw new EngineError("no such builder");
  };
  const message = "the engine reported an error: no such builder";
  expect(await bed.run()).toMatchObject({ state: "failed", reason: { code: "build-failed", message } });
});

test("a registry's refusal fails the job, with a hint that does not concern this machine's login", async () => {
  using bed = new RunBed();
  bed.engine.onPublish = async () => {
    const hint = "Run `docker login registry.example.com` on this side, and check the name.";
    throw new Failure("push-refused", "denied", { expected: "credentials", hint });
  };
  const hint =
    "Send credentials for that registry with the build, as `docker-over-ssh publish` does after `docker login`, and check the name.";
  const reason = { code: "push-refused", message: "denied", expected: "credentials", hint };
  expect(await bed.run()).toEqual({ state: "failed", reason });
  expect(bed.engine.images.size).toBe(0);
});

describe("the purge", () => {
  test.each(["succeeds", "fails", "is cancelled"])("of a build that %s returns the name to its image", async (how) => {
    using bed = new RunBed();
    const earlier = bed.engine.addImage(NAME, "registry.example.com/team/app:v0");
    bed.engine.onPublish = async (_, { signal }) => {
      expect(bed.engine.idOf(NAME)).not.toBe(earlier);
      if (how === "fails") throw new Failure("push-refused", "denied");
      if (how === "is cancelled") bed.claimEnd.abort(new Stopped("cancelled"));
      signal.throwIfAborted();
    };
    await bed.run();
    expect(bed.engine.idOf(NAME)).toBe(earlier);
    expect([...bed.engine.images.keys()]).toEqual([earlier]);
  });

  test("keeps an image that already has the name, and its other names", async () => {
    using bed = new RunBed();
    const same = bed.engine.addImage(NAME, "kept:v1");
    bed.engine.build = async () => ({ id: same });
    expect(await bed.run()).toEqual({ state: "succeeded" });
    expect(bed.engine.images).toEqual(new Map([[same, new Set([NAME, "kept:v1"])]]));
  });

  test("does not treat the image that an earlier run of the job has left as somebody else's", async () => {
    using bed = new RunBed();
    const imageId = bed.engine.addImage(NAME);
    expect(await bed.run({ attempts: 2, imageId })).toEqual({ state: "succeeded" });
    expect(bed.engine.idOf(NAME)).toBeUndefined();
  });

  test("only causes a warning if it fails", async () => {
    using bed = new RunBed();
    bed.engine.failure = new EngineError("the disk is on fire");
    expect(await bed.run()).toEqual({ state: "succeeded" });
    expect(bed.lines.at(-1)).toBe(`warning: ${NAME} cannot be removed from the engine: the disk is on fire`);
  });

  test("removes images of steps of the classic builder, but neither a base nor older images", async () => {
    using bed = new RunBed();
    const cached = bed.engine.addImage();
    let made = "";
    bed.engine.onBuild = async (_, { onEvent }) => {
      const say = (text: string): void => onEvent({ type: "build-text", text });
      const digits = (id: string): string => id.slice("sha256:".length);
      say(`Step 1/3 : FROM base\n ---> ${digits(bed.engine.addImage())}\n`);
      say(`Step 2/3 : RUN true\n ---> ${digits(cached)}\n`);
      made = bed.engine.addImage();
      say(`Step 3/3 : RUN make\n ---> Running in 0123456789ab\n ---> ${digits(made)}\n`);
      throw new Failure("build-failed", "no");
    };
    await bed.run({ order: { limits: { memory: 64_000_000 } } });
    expect(bed.engine.images.size).toBe(2);
    expect(bed.engine.images.has(cached)).toBe(true);
    expect(bed.engine.images.has(made)).toBe(false);
  });

  test("removes images of steps of Podman's builder", async () => {
    using bed = new RunBed();
    bed.engine.kind = "buildah";
    bed.engine.onBuild = async (_, { onEvent }) => {
      const made = bed.engine.addImage().slice("sha256:".length);
      onEvent({ type: "build-text", text: `[1/2] STEP 2/3: RUN true\n--> ${made}\n` });
      throw new Failure("build-failed", "no");
    };
    await bed.run();
    expect(bed.engine.images.size).toBe(0);
  });

  test("removes images of steps when no other build of the engine may use them", async () => {
    using bed = new RunBed();
    const { engine, steps } = bed;
    const made = engine.addImage();
    steps.begin();
    steps.begin();
    await steps.end(engine, [made]);
    expect(engine.images.has(made)).toBe(true);
    await steps.end(engine, []);
    expect(engine.images.has(made)).toBe(false);
  });
});
