import { pipeline } from "node:stream/promises";
import { describeExit } from "../../child-process/exit.ts";
import { startProgram, type Program } from "../../child-process/start-program.ts";
import { Failure } from "../../output/errors.ts";
import { oneLine } from "../../output/describe.ts";
import { invalidArchive } from "./invalid-archive.ts";

/** ms between SIGTERM and SIGKILL: these programs have nothing to clean up. */
const KILL_TIMEOUT = 1000;
/** Characters of a program's stderr that a message shows. */
const SHOWN = 200;

/**
 * The programs that unpack what Node cannot: one that unpacks xz in JavaScript or WebAssembly would be a tenth of this package. Both of the
 * first may need as much memory as the archive asks for: xz -9 takes 65 MB, zstd --ultra 128 MB.
 */
const PROGRAMS = {
  xz: ["xz", "--decompress", "--stdout", "--memlimit-decompress=128MiB"],
  zstd: ["zstd", "--decompress", "--stdout", "--memory=128MB"],
  bzip2: ["bzip2", "--decompress", "--stdout"],
} as const;

export type UnpackingProgram = keyof typeof PROGRAMS;

/** Unpacks with a program of this machine. Leaves `packed` to its owner. Throws a Failure `context-invalid`. */
export async function* unpackByProgram(name: UnpackingProgram, packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const [program, ...argv] = PROGRAMS[name];
  const child = startProgram(program, argv, { killTimeout: KILL_TIMEOUT });
  let failure: { error: unknown } | undefined;
  // The program may end before it has read all: then its status tells, not EPIPE.
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* packed;
    } catch (error) {
      failure = { error };
      throw error;
    }
  }
  const fed = pipeline(watched(), child.stdin).catch(() => {
    if (failure !== undefined) child.kill("SIGKILL");
  });
  const errors = textOf(child);
  let isRead = false;
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    isRead = true;
  } finally {
    if (!isRead) child.kill("SIGKILL");
  }
  const exit = await child.exit;
  child.stdin.destroy();
  await fed;
  if (failure !== undefined) throw failure.error;
  if (exit.error?.code === "ENOENT") throw noProgram(name);
  if (exit.status !== 0) {
    throw invalidArchive(`the archive is cut off or damaged: ${program} ${describeExit(exit)}${await errors}`);
  }
}

async function textOf({ stderr }: Program): Promise<string> {
  let text = "";
  for await (const chunk of stderr as AsyncIterable<Buffer>) if (text.length < SHOWN) text += chunk.toString("latin1");
  const line = oneLine(text).slice(0, SHOWN);
  return line === "" ? "" : ` (${line})`;
}

function noProgram(name: UnpackingProgram): Failure {
  return new Failure(
    "context-invalid",
    `the archive is compressed with ${name}, and this machine has no program ${name}`,
    {
      expected: "an archive that can be unpacked here",
      hint: `Install ${name} there, or send the archive compressed with gzip.`,
    },
  );
}
