import { fromBinary } from "@bufbuild/protobuf";
import { buildHeader } from "./build-header.ts";
import { OpSchema, type Definition } from "./gen/ops_pb.ts";
import type { RunningBuild } from "./builds.ts";

/** A line at the beginning of a Dockerfile that is a directive */
const DIRECTIVE = /^#\s*([a-zA-Z][\w-]*)\s*=\s*(.+?)\s*$/;

/** Returns the frontend that a Dockerfile names in `# syntax=`. */
export function syntaxOf(dockerfile: string): string | undefined {
  for (const line of dockerfile.replace(/^\uFEFF/, "").split(/\r?\n/)) {
    const [, name, value] = DIRECTIVE.exec(line) ?? [];
    if (name === undefined) return undefined;
    if (name.toLowerCase() === "syntax") return value;
  }
  return undefined;
}

/** Has the engine warn, in the status of a build, that `# syntax=` is ignored. Engines without such warnings (20.10) say nothing. */
export async function warnOfSyntax(
  { gateway, plan }: RunningBuild,
  definition: Definition,
  signal: AbortSignal,
): Promise<void> {
  const [info] = definition.Source?.infos ?? [];
  const digest = resultOf(definition);
  if (info === undefined || digest === undefined) return;
  const syntax = syntaxOf(Buffer.from(info.data).toString());
  if (syntax === undefined || isBuiltIn(syntax)) return;
  try {
    await gateway.warn(
      {
        digest,
        level: 1n,
        short: Buffer.from(
          `IgnoredSyntax: "# syntax=${syntax}" is ignored: the engine's own frontend reads the Dockerfile`,
        ),
        info: { filename: info.filename, data: info.data },
        ranges: [{ start: { line: 1 }, end: { line: 1 } }],
      },
      { headers: buildHeader(plan.engineRef), signal },
    );
  } catch {
    signal.throwIfAborted();
  }
}

/** What the frontend of every engine is: Dockerfiles that name it lose nothing. */
function isBuiltIn(syntax: string): boolean {
  return /^(?:docker\.io\/)?docker\/dockerfile:(?:1|1\.\d|latest)$/.test(syntax);
}

/** The digest of the step that is the result: the last entry says which one. */
function resultOf({ def }: Definition): string | undefined {
  const last = def.at(-1);
  return last === undefined ? undefined : fromBinary(OpSchema, last).inputs[0]?.digest;
}
