import { createReadStream } from "node:fs";
import type { HaveList } from "../../have/have-list.ts";
import { InvalidHaveList, MAX_HAVE_LIST, parseHaveList } from "../../have/parse-have-list.ts";
import { Failure, messageOf } from "../../output/errors.ts";

/** Reads the file of --have. Throws a `usage` Failure if it cannot be read, or is not a list. */
export async function readHave(path: string): Promise<HaveList> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > MAX_HAVE_LIST) break; // parsing rejects it
    }
    return parseHaveList(Buffer.concat(chunks));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined && !(error instanceof InvalidHaveList)) throw error;
    throw new Failure(
      "usage",
      code === undefined
        ? `${path} is not a list of an engine: ${messageOf(error)}`
        : `${path} cannot be read: ${messageOf(error)}`,
      {
        expected: "a file that docker-over-ssh list of the same version has written",
        hint: `Create a new one: docker-over-ssh list ssh://HOST > ${path}`,
        cause: error,
      },
    );
  }
}
