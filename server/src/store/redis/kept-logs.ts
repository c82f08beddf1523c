import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AwsClient } from "aws4fetch";
import { Failure, messageOf } from "docker-over-ssh/builds";
import { isJobId } from "../../jobs/job.ts";

/** Maximum ms of a request to an object store */
const REQUEST_TIMEOUT = 60_000;

/** Stores logs of jobs that are over as text, in addition to Redis or instead of it. It never removes them. */
export interface KeptLogs {
  /** Stores the text of a log, or replaces it. */
  write(id: string, text: AsyncIterable<string>): Promise<void>;
  /**
   * Returns up to `size` bytes of the text from `start`, fewer only at its end; undefined if the log does not exist.
   */
  read(id: string, start: number, size: number): Promise<Buffer | undefined>;
}

/**
 * Opens a folder, or `s3://BUCKET/PREFIX`.
 *
 * @throws a `usage` Failure for an unusable location
 */
export async function openKeptLogs(place: string, env: NodeJS.ProcessEnv): Promise<KeptLogs> {
  if (place.startsWith("s3://")) return objectLogs(place, env);
  try {
    await mkdir(place, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Failure("usage", `the folder for logs ${place} cannot be used: ${messageOf(error)}`, {
      expected: "a folder that this user may write to",
      hint: "Check the path and its permissions.",
      cause: error,
    });
  }
  return folderLogs(place);
}

/** Throws if the text is not an ID: others may write to Redis, the source of IDs. */
function nameOf(id: string): string {
  if (isJobId(id)) return `${id}.log`;
  throw new TypeError("not the ID of a job");
}

/** Files `ID.log` */
function folderLogs(folder: string): KeptLogs {
  const pathOf = (id: string): string => join(folder, nameOf(id));
  return {
    async write(id, text) {
      const path = pathOf(id);
      const part = `${path}.${randomUUID()}.part`;
      try {
        const file = await open(part, "wx", 0o600);
        try {
          for await (const piece of text) await file.writeFile(piece);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(part, path);
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    },
    async read(id, start, size) {
      try {
        await using file = await open(pathOf(id), "r");
        const buffer = Buffer.alloc(size);
        let filled = 0;
        while (filled < size) {
          const { bytesRead } = await file.read(buffer, filled, size - filled, start + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return buffer.subarray(0, filled);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
  };
}

/**
 * Stores objects `PREFIX/ID.log` with the S3 protocol, signature version 4. The environment provides the AWS command's
 * variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION. For object
 * stores other than AWS, AWS_ENDPOINT_URL is set, and the bucket is the first folder of the path.
 */
function objectLogs(place: string, env: NodeJS.ProcessEnv): KeptLogs {
  const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*))?$/.exec(place) ?? [];
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env;
  const region = env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || "us-east-1";
  if (bucket === undefined) {
    throw new Failure("usage", `the location for logs ${place} is not valid`, {
      expected: "s3://BUCKET or s3://BUCKET/PREFIX",
    });
  }
  if (!accessKeyId || !secretAccessKey) {
    throw new Failure("usage", `no credentials are set for ${place}`, {
      hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a store of your own AWS_ENDPOINT_URL as well.",
    });
  }
  const endpoint = env["AWS_ENDPOINT_URL"] || `https://s3.${region}.amazonaws.com`;
  const folder = [
    endpoint.replace(/\/+$/, ""),
    bucket,
    ...prefix.split("/").filter(Boolean).map(encodeURIComponent),
  ].join("/");
  const client = new AwsClient({
    accessKeyId,
    secretAccessKey,
    ...(sessionToken && { sessionToken }),
    region,
    service: "s3",
    retries: 3,
  });
  const request = async (id: string, init: RequestInit): Promise<Response> =>
    await client.fetch(`${folder}/${nameOf(id)}`, { ...init, signal: AbortSignal.timeout(REQUEST_TIMEOUT) });
  return {
    async write(id, text) {
      const pieces: string[] = [];
      for await (const piece of text) pieces.push(piece);
      const body = pieces.join("");
      const headers = {
        "content-type": "text/plain; charset=utf-8",
        "x-amz-content-sha256": createHash("sha256").update(body).digest("hex"), // signed, so nobody can change it in transit
      };
      const answer = await request(id, { method: "PUT", body, headers });
      if (!answer.ok)
        throw new Error(`${place} does not accept a log: ${answer.status} ${(await answer.text()).slice(0, 200)}`);
    },
    async read(id, start, size) {
      const answer = await request(id, { headers: { range: `bytes=${start}-${start + size - 1}` } });
      if (answer.status === 404) return undefined;
      if (answer.status === 416) return Buffer.alloc(0); // the text ends there
      if (!answer.ok) throw new Error(`${place} does not return a log: ${answer.status}`);
      const bytes = Buffer.from(await answer.arrayBuffer());
      return answer.status === 206 ? bytes : bytes.subarray(start, start + size); // 200: the complete object
    },
  };
}
