/** Thrown when the engine answers with an error. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  /** The HTTP status; undefined for an error in a progress stream, which follows status 200. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
