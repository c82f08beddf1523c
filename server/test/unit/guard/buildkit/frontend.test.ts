import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { engineIds } from "../../../../src/guard/buildkit/ids.ts";
import { solveFrontend } from "../../../../src/guard/buildkit/frontend.ts";
import type { RunningBuild } from "../../../../src/guard/buildkit/builds.ts";
import { DefinitionSchema, OpSchema } from "../../../../src/guard/buildkit/gen/ops_pb.ts";
import { SolveResponseSchema, type WarnRequestSchema } from "../../../../src/guard/buildkit/gen/gateway_pb.ts";
import { strictTenant } from "../../../fixtures/guard/buildkit-tenant.ts";

const MB = 1024 * 1024;
const names = { tenant: strictTenant(), ids: engineIds(Buffer.alloc(32)) };
const { signal } = new AbortController();

/** Creates a build whose engine returns the steps of this Dockerfile. */
function buildOf(dockerfile: string) {
  const seen = { requests: 0, open: 0, most: 0, warnings: [] as string[] };
  const last = toBinary(OpSchema, create(OpSchema, { inputs: [{ digest: "sha256:1" }] }));
  const def = toBinary(
    DefinitionSchema,
    create(DefinitionSchema, {
      def: [last],
      Source: { infos: [{ filename: "Dockerfile", data: Buffer.from(dockerfile) }] },
    }),
  );
  const gateway = {
    async solve() {
      seen.requests++;
      seen.most = Math.max(seen.most, ++seen.open);
      await new Promise(setImmediate);
      seen.open--;
      return create(SolveResponseSchema, { result: { result: { case: "ref", value: { id: "r1", def } } } });
    },
    async warn({ short }: MessageInitShape<typeof WarnRequestSchema>) {
      await Promise.resolve();
      seen.warnings.push(Buffer.from(short ?? []).toString());
    },
  };
  const build = {
    plan: { attributes: {}, engineRef: "1" },
    support: { hasSourcePolicies: true },
    own: { byName: new Map(), byEngineName: new Map() },
    gateway,
    results: [],
    resultBytes: 0,
    lastSolve: Promise.resolve(),
  } as unknown as RunningBuild;
  const solve = async (syntax?: string) =>
    await solveFrontend(build, { attributes: {}, syntax, evaluates: false }, names, signal);
  return { seen, solve };
}

describe("solveFrontend", () => {
  test("sends one request at a time, and stores results up to a size", async () => {
    const { seen, solve } = buildOf("x".repeat(20 * MB));
    const ended = await Promise.allSettled(Array.from({ length: 4 }, () => solve()));
    expect(seen.most).toBe(1);
    expect(ended.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "rejected"]);
    expect(ended[3]).toMatchObject({ reason: { rule: "build.results" } });
  });

  test("sends at most a hundred requests to the engine", async () => {
    const { seen, solve } = buildOf("FROM a");
    for (let count = 0; count < 100; count++) await solve();
    await expect(solve()).rejects.toMatchObject({ rule: "build.results" });
    expect(seen.requests).toBe(100);
  });

  test.for<[dockerfile: string, argument: string | undefined, warned: string[]]>([
    ["FROM a", undefined, []],
    ["# syntax=docker/dockerfile:1\n", undefined, []],
    ["# syntax=evil/frontend\n", undefined, ["# syntax=evil/frontend"]],
    ["#!/bin/sh\n# escape=`\n#SYNTAX = evil/frontend  \n", undefined, ["# syntax=evil/frontend"]],
    ["FROM a", "evil/frontend", ["BUILDKIT_SYNTAX=evil/frontend"]],
    ["FROM a", "docker/dockerfile:1", []],
  ])("warns that a frontend is ignored: %j, %s", async ([dockerfile, argument, warned]) => {
    const { seen, solve } = buildOf(dockerfile);
    await solve(argument);
    expect(seen.warnings).toEqual(
      warned.map((given) => `IgnoredSyntax: "${given}" is ignored: the engine's own frontend reads the Dockerfile`),
    );
  });
});
