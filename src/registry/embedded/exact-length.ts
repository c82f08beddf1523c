import { Transform, type TransformCallback } from "node:stream";

/** Passes on exactly `length` bytes; fails when there are more or fewer. */
export function exactLength(length: number): Transform {
  let left = length;
  return new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      left -= chunk.length;
      done(left < 0 ? wrong(length) : null, chunk);
    },
    flush(done) {
      done(left > 0 ? wrong(length) : null);
    },
  });
}

function wrong(length: number): Error {
  return new Error(`a blob is not of the ${length} bytes that it was announced with`);
}
