import { createWriteStream } from "node:fs";
import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import { bytes, deadline, duration, Failure } from "docker-over-ssh/builds";
import type { FetchLimits } from "../settings.ts";
import { checkedRequest, type CheckedAnswer } from "./checked-request.ts";
import { networkOf, parseAddress, type Network } from "./network.ts";
import { unreachable } from "./unreachable.ts";

export interface FetchOptions {
  signal: AbortSignal;
  /** Called often, with the number of received bytes, and with the total if the server has sent it. */
  onBytes?: (count: number, total: number | undefined) => void;
  /** Called with lines for the log: the source, the progress (every few seconds), and the size. */
  onLine?: (line: string) => void;
  /** Default: the network of this machine, with the hosts that the limits allow */
  network?: Network;
}

/** ms between two lines of progress */
const LINE_EVERY = 2_000;

/**
 * Fetches an archive to a file, which belongs to the caller, even after a failure. Apart from its status, neither the
 * log nor a failure contains anything of the response: a host that --allow-host permits may reveal to this server
 * information that the client must not see.
 *
 * Rejects with a Failure: `refused` for a forbidden address, `context-invalid` for an archive above the limit,
 * `no-space`, and `transfer-failed`; or with the signal's reason.
 */
export async function fetchArchive(
  address: string,
  path: string,
  limits: FetchLimits,
  { signal, onBytes, onLine = () => {}, network = networkOf(limits.allowedHosts) }: FetchOptions,
): Promise<void> {
  using limit = deadline(limits.maxTime, signal);
  const begin = performance.now();
  let count = 0;
  let lineAt = begin;
  const onChunk = (size: number, total: number | undefined): void => {
    count += size;
    if (count > limits.maxBytes) throw tooLarge(limits);
    onBytes?.(count, total);
    if (performance.now() - lineAt < LINE_EVERY) return;
    lineAt = performance.now();
    onLine(total === undefined ? `${bytes(count)} received` : `${bytes(count)} of ${bytes(total)} received`);
  };
  try {
    onLine(`Fetching ${shown(parseAddress(address))}`);
    const answer = await checkedRequest(
      address,
      {
        headers: { accept: "application/gzip, application/x-tar, application/octet-stream, */*;q=0.1" },
        redirects: limits.redirects,
        onRedirect: ({ protocol, host }) => onLine(`Redirected to ${protocol}//${host}`),
      },
      network,
      limit.signal,
    );
    await save(answer, path, limits, onChunk, limit.signal);
    onLine(`Fetched ${bytes(count)} in ${duration(performance.now() - begin)}`);
  } catch (error) {
    signal.throwIfAborted();
    throw limit.isOver ? tooSlow(limits) : error;
  }
}

async function save(
  { url, response }: CheckedAnswer,
  path: string,
  limits: FetchLimits,
  onChunk: (size: number, total: number | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    checkStatus(url, response, limits);
    const length = Number(response.headers["content-length"] ?? Number.NaN);
    const total = Number.isSafeInteger(length) ? length : undefined;
    if (total !== undefined && total > limits.maxBytes) throw tooLarge(limits);
    const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        onChunk(chunk.length, total);
        yield chunk;
      }
    };
    // Does not decode a Content-Encoding: servers send it with compressed files, and an archive's own bytes identify
    // its compression.
    await pipeline(response, counted, createWriteStream(path, { mode: 0o600 }), { signal });
  } catch (error) {
    throw error instanceof Failure || signal.aborted ? error : explain(error, url);
  } finally {
    response.destroy();
  }
}

function explain(error: unknown, url: URL): Failure {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
    return new Failure("no-space", "the server's disk is too full for the archive", {
      expected: "room for it",
      hint: "Try again later, or ask the server's operator.",
      cause: error,
    });
  }
  if (syscall === "open" || syscall === "write") throw error; // an error of the file, not of the connection
  return unreachable(url, error);
}

function checkStatus(url: URL, { statusCode = 0 }: IncomingMessage, { redirects }: FetchLimits): void {
  if (statusCode === 200) return;
  const isRedirect = statusCode >= 300 && statusCode < 400;
  throw new Failure(
    "transfer-failed",
    isRedirect
      ? `the address of the archive redirects more than ${redirects} times`
      : `${shown(url)} answered with status ${statusCode}`,
    {
      expected: "status 200 and an archive",
      hint: "Check that the address serves the archive without a login.",
    },
  );
}

function tooLarge({ maxBytes }: FetchLimits): Failure {
  return new Failure("context-invalid", "the archive at the address is too large", {
    expected: `at most ${bytes(maxBytes)}`,
    hint: "Exclude files that the build does not need.",
  });
}

function tooSlow({ maxTime }: FetchLimits): Failure {
  return new Failure("transfer-failed", `the archive at the address did not arrive within ${duration(maxTime)}`, {
    expected: "all of it",
    hint: "Try again, or upload it.",
  });
}

/** Omits the query: that of a signed address is as sensitive as a password. */
function shown({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname}`;
}
