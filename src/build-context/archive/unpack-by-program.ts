import { pipeline } from "node:stream/promises";
import { describeExit } from "../../child-process/exit.ts";
import { startProgram, type Program } from "../../child-process/start-program.ts";
import { Failure } from "../../output/errors.ts";
import { oneLine } from "../../output/describe.ts";
import { invalidArchive } from "./invalid-archive.ts";

/** ms between SIGTERM and SIGKILL. These programs have nothing to clean up. */
const KILL_TIMEOUT = 1000;
/** Characters of a program's stderr that a message shows. */
const SHOWN = 200;

/**
 * The programs that unpack the formats that Node cannot: an unpacker of xz in JavaScript or WebAssembly would add a tenth to the size of
 * this package. xz and zstd allocate as much memory as the archive requests, so it is limited: xz -9 needs 65 MB, zstd --ultra 128 MB.
 */
const PROGRAMS = {
  xz: ["xz", "--decompress", "--stdout", "--memlimit-decompress=128MiB"],
  zstd: ["zstd", "--decompress", "--stdout", "--memory=128MB"],
  bzip2: ["bzip2", "--decompress", "--stdout"],
} as const;

export type UnpackingProgram = keyof typeof PROGRAMS;

/** Unpacks an archive with a program of this machine. Leaves `packed` to its owner. Throws a Failure `context-invalid`. */
export async function* unpackByProgram(name: UnpackingProgram, packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const [program, ...argv] = PROGRAMS[name];
  const child = startProgram(program, argv, { killTimeout: KILL_TIMEOUT });
  let failure: { error: unknown } | undefined;
  // The program may end before it has read all input. Its exit status is the reason in that case, not EPIPE.
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
    `the archive is compressed with ${name}, and the machine that unpacks it has no program ${name}`,
    {
      expected: "an archive in a format that the machine can unpack",
      hint: `Install ${name} on that machine, or send the archive compressed with gzip.`,
    },
  );
}
