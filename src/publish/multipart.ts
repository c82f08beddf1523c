/** A field of a form, with the text or the file that is its value. */
export interface FormPart {
  name: string;
  /** Its media type */
  type: string;
  filename?: string;
  body: string | AsyncIterable<Buffer>;
}

/**
 * Writes a form (RFC 7578) whose files are read while it is sent. Names are written verbatim, so they must not contain quotes.
 *
 * @param boundary must not occur in the parts
 */
export async function* multipart(parts: readonly FormPart[], boundary: string): AsyncGenerator<Buffer> {
  for (const { name, type, filename, body } of parts) {
    const file = filename === undefined ? "" : `; filename="${filename}"`;
    yield Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\nContent-Type: ${type}\r\n\r\n`,
    );
    if (typeof body === "string") yield Buffer.from(body);
    else yield* body;
    yield Buffer.from("\r\n");
  }
  yield Buffer.from(`--${boundary}--\r\n`);
}
