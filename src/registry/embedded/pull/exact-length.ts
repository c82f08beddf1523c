import { Transform, type TransformCallback } from "node:stream";

/** Passes bytes through, and fails unless there are exactly `length` bytes. */
export function exactLength(length: number): Transform {
  let left = length;
  return new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      left -= chunk.length;
      done(left < 0 ? wrongLength(length) : null, chunk);
    },
    flush(done) {
      done(left > 0 ? wrongLength(length) : null);
    },
  });
}

function wrongLength(length: number): Error {
  return new Error(`a blob does not have its announced ${length} bytes`);
}
