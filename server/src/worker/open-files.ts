import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import {
  bytes,
  Failure,
  findLayout,
  MissingBuildFiles,
  newRunId,
  openArchiveContext,
  type BuildContext,
  type ContextFile,
} from "docker-over-ssh/builds";
import type { Job } from "../jobs/job.ts";
import type { FetchLimits, ServeSettings } from "../settings.ts";
import type { BodyFile, Claim } from "../store/job-store.ts";
import type { JobLog } from "./job-log.ts";
import type { JobProgress } from "./job-progress.ts";

/**
 * Fetches an archive into a file. `onLine` receives lines for the log. Rejects with a Failure, or with the signal's
 * reason.
 */
export type FetchArchive = (
  url: string,
  path: string,
  limits: FetchLimits,
  options: { signal: AbortSignal; onLine: (line: string) => void },
) => Promise<void>;

export interface FileTools {
  settings: Pick<ServeSettings, "fetch" | "build"> & Partial<Pick<ServeSettings, "maxLog">>;
  /** Locates the cache folder, where archives are unpacked. */
  env: NodeJS.ProcessEnv;
  fetchArchive: FetchArchive;
  /** Creates a file for an archive. */
  newFile: () => Promise<BodyFile>;
}

/** The files of a job. Disposing removes them. */
export interface JobFiles extends AsyncDisposable {
  context: BuildContext;
  /** Path of the Dockerfile in the folder */
  dockerfile: string;
  /** Bytes of all files */
  bytes: number;
}

/** The name of a Dockerfile without other files. */
const DOCKERFILE = "Dockerfile";

/**
 * Opens the files of a job's build: fetches and unpacks them.
 *
 * @throws Failure `not-buildable` if the Dockerfile is missing; as `openArchiveContext` and `fetchArchive`; or the
 * signal's reason
 */
export async function openFiles(
  claim: Claim,
  tools: FileTools,
  { log, progress, signal }: { log: JobLog; progress: JobProgress; signal: AbortSignal },
): Promise<JobFiles> {
  const { job, body } = claim;
  if (job.source.kind === "dockerfile") return textFiles(await readFile(bodyOf(body), { encoding: "utf8", signal }));
  if (job.source.kind === "archive") return await unpacked(bodyOf(body));
  const { url } = job.source;
  await using fetched = await tools.newFile();
  await progress.phase("fetch", async () => {
    await tools.fetchArchive(url, fetched.path, tools.settings.fetch, { signal, onLine: (line) => log.say(line) });
  });
  return await unpacked(fetched.path);

  async function unpacked(path: string): Promise<JobFiles> {
    return await progress.phase("context", async () => {
      const files = await unpack(path, job, tools, signal);
      const count = files.context.entries.length;
      log.say(`The archive has ${count} ${count === 1 ? "entry" : "entries"}, ${bytes(files.bytes)}`);
      return files;
    });
  }
}

async function unpack(path: string, { order }: Job, tools: FileTools, signal: AbortSignal): Promise<JobFiles> {
  const archive = createReadStream(path);
  const context = await openArchiveContext(archive, {
    env: tools.env,
    runId: newRunId(),
    signal,
    strip: order.strip,
    limits: {
      bytes: tools.settings.build.maxUnpacked,
      howToRaise: "ask the server's operator for a larger --max-size",
    },
    refuseLinksOut: true,
  }).finally(() => archive.destroy());
  try {
    await findLayout(context, order.file, signal);
  } catch (error) {
    await context[Symbol.asyncDispose]();
    throw error instanceof Failure && error.code === "not-buildable" ? addressedToSender(error) : error;
  }
  return filesOf(context, order.file);
}

function filesOf(context: BuildContext, dockerfile: string): JobFiles {
  return {
    context,
    dockerfile,
    bytes: context.entries.reduce((sum, entry) => sum + (entry.kind === "file" ? entry.size : 0), 0),
    [Symbol.asyncDispose]: async () => await context[Symbol.asyncDispose](),
  };
}

function textFiles(text: string): JobFiles {
  const content = Buffer.from(text);
  const file: ContextFile = { kind: "file", path: DOCKERFILE, mode: 0o644, mtime: 0, size: content.length };
  const context: BuildContext = {
    entries: [file],
    async *read() {
      yield content;
    },
    async [Symbol.asyncDispose]() {},
  };
  return filesOf(context, DOCKERFILE);
}

/** Replaces the core's hints, which name options of a command. */
function addressedToSender(failure: Failure): Failure {
  const isInFolder = failure instanceof MissingBuildFiles && failure.onlyFolder !== undefined;
  return new Failure("not-buildable", failure.message, {
    expected: "a Dockerfile at the top of the archive, or at the path in `file`",
    hint: isInFolder
      ? "With `strip` 1 the top is that folder; or create the archive inside it: tar -cz ."
      : "Add it at the top of the archive: tar -cz . in the folder that has the Dockerfile.",
  });
}

function bodyOf(path: string | undefined): string {
  if (path !== undefined) return path;
  throw new Failure("context-invalid", "the body of the build is missing", {
    expected: "the file that was stored when the build was accepted",
    hint: "Submit the build again.",
  });
}
