/** The engine answered with an error. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  /** The HTTP status, or undefined when the error came inside a progress stream that began with 200. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
