import { createReadStream } from "node:fs";
import type { HaveList } from "../../have/have-list.ts";
import { InvalidHaveList, MAX_HAVE_LIST, parseHaveList } from "../../have/parse-have-list.ts";
import { Failure, messageOf } from "../../output/errors.ts";

/** Reads what --have names. Throws a `usage` Failure for a file that cannot be read, or is no list. */
export async function readHave(path: string): Promise<HaveList> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > MAX_HAVE_LIST) break; // which parsing refuses
    }
    return parseHaveList(Buffer.concat(chunks));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined && !(error instanceof InvalidHaveList)) throw error;
    throw new Failure(
      "usage",
      code === undefined
        ? `${path} is no list of an engine: ${messageOf(error)}`
        : `${path} cannot be read: ${messageOf(error)}`,
      {
        expected: "a file as docker-over-ssh list writes it, of the same version",
        hint: `Make a new one: docker-over-ssh list ssh://HOST > ${path}`,
        cause: error,
      },
    );
  }
}
