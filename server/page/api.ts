import type { Session } from "./session.ts";

/** An error response of the server: problem details (RFC 9457), or its status if they are missing. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  /** Whether a retry would get the same response. */
  readonly isFinal: boolean;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
    this.isFinal = status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
  }
}

export interface RequestOptions {
  method?: "GET" | "POST";
  accept?: string;
  /** For a stream: the ID of the last known event */
  lastId?: string;
  /** Sent as JSON */
  body?: unknown;
  signal?: AbortSignal | undefined;
}

export class Api {
  readonly #session: Session;
  #isAccepted = false;
  /** A request whose response shows whether the server needs a token; other requests wait for it */
  #probe: Promise<void> | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Returns the JSON of a response. */
  async json<Answer>(path: string, options: RequestOptions = {}): Promise<Answer> {
    const response = await this.request(path, { accept: "application/json", ...options });
    return (await response.json()) as Answer;
  }

  async text(path: string): Promise<string> {
    return await (await this.request(path, { accept: "text/plain" })).text();
  }

  async events(path: string, lastId: string, signal: AbortSignal): Promise<Response> {
    return await this.request(path, { accept: "text/event-stream", lastId, signal });
  }

  /**
   * Sends a request, and repeats it with a token if the server requires one. Rejects with an {@link ApiError} for any
   * other error response. Until the server has accepted a token, or requires none, requests are sent one after the
   * other, because the server counts the rejected ones.
   */
  async request(path: string, options: RequestOptions): Promise<Response> {
    while (!this.#isAccepted && this.#probe !== undefined) await this.#probe;
    if (this.#isAccepted) return await this.#send(path, options);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#probe = promise;
    try {
      return await this.#send(path, options);
    } finally {
      this.#probe = undefined;
      resolve();
    }
  }

  async #send(
    path: string,
    { method = "GET", accept = "*/*", lastId = "", body, signal }: RequestOptions,
  ): Promise<Response> {
    for (;;) {
      signal?.throwIfAborted();
      const { token } = this.#session;
      const headers = new Headers({ Accept: accept });
      if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
      if (lastId !== "") headers.set("Last-Event-ID", lastId);
      if (body !== undefined) headers.set("Content-Type", "application/json");
      const init = { method, headers, body: body === undefined ? null : JSON.stringify(body), signal: signal ?? null };
      const response = await fetch(path, { ...init, cache: "no-store" });
      this.#isAccepted = response.status !== 401;
      if (response.ok) return response;
      if (this.#isAccepted) throw await errorOf(response);
      await response.body?.cancel();
      await this.#session.replace(token);
    }
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const { title, detail, hint } = await problemOf(response);
  const first = detail ?? title ?? `The server answered ${response.status}.`;
  return new ApiError(response.status, hint === undefined ? first : `${first} ${hint}`);
}

async function problemOf(response: Response): Promise<Record<"title" | "detail" | "hint", string | undefined>> {
  let body: unknown;
  try {
    body = await response.json();
  } catch {
    // The response of a proxy, or one that was cut off
  }
  const text = (name: string): string | undefined => {
    const value = typeof body === "object" && body !== null ? (body as Record<string, unknown>)[name] : undefined;
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  return { title: text("title"), detail: text("detail"), hint: text("hint") };
}

/** Returns the text for an error of a request. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return "The server cannot be reached.";
}
