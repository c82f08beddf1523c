import { fromBinary } from "@bufbuild/protobuf";
import { buildHeader } from "./build-header.ts";
import { OpSchema, type Definition } from "./gen/ops_pb.ts";
import type { RunningBuild } from "./builds.ts";

/** A directive at the beginning of a Dockerfile */
const DIRECTIVE = /^#\s*([a-zA-Z][\w-]*)\s*=(.*)$/;
/** Maximum characters of the frontend's name in a warning */
const MAX_SYNTAX = 255;

/** Returns the frontend that a Dockerfile names in `# syntax=`. */
export function syntaxOf(dockerfile: string): string | undefined {
  const [first = "", ...others] = dockerfile.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (const line of first.startsWith("#!") ? others : [first, ...others]) {
    const [, name = "", text = ""] = DIRECTIVE.exec(line) ?? [];
    const value = text.trim();
    if (value === "") return undefined;
    if (name.toLowerCase() === "syntax") return value;
  }
  return undefined;
}

/**
 * Makes the engine warn, in the status of a build, that `# syntax=` or the build argument BUILDKIT_SYNTAX is ignored. Engines that lack such warnings (20.10)
 * print nothing.
 */
export async function warnOfSyntax(
  { gateway, plan }: RunningBuild,
  definition: Definition,
  argument: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const [info] = definition.Source?.infos ?? [];
  const digest = resultOf(definition);
  if (info === undefined || digest === undefined) return;
  const syntax = argument ?? syntaxOf(Buffer.from(info.data).toString());
  if (syntax === undefined || isBuiltIn(syntax)) return;
  const given = `${argument === undefined ? "# syntax" : "BUILDKIT_SYNTAX"}=${syntax.slice(0, MAX_SYNTAX)}`;
  try {
    await gateway.warn(
      {
        digest,
        level: 1n,
        short: Buffer.from(`IgnoredSyntax: "${given}" is ignored: the engine's own frontend reads the Dockerfile`),
        info: { filename: info.filename, data: info.data },
        ranges: [{ start: { line: 1 }, end: { line: 1 } }],
      },
      { headers: buildHeader(plan.engineRef), signal },
    );
  } catch {
    signal.throwIfAborted();
  }
}

/** Returns whether this is the frontend that every engine contains, so that ignoring its name changes nothing. */
function isBuiltIn(syntax: string): boolean {
  return /^(?:docker\.io\/)?docker\/dockerfile:(?:1|1\.\d|latest)$/.test(syntax);
}

/** Returns the digest of the step that is the result. The last entry names it. */
function resultOf({ def }: Definition): string | undefined {
  const last = def.at(-1);
  return last === undefined ? undefined : fromBinary(OpSchema, last).inputs[0]?.digest;
}
