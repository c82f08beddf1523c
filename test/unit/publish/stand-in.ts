import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

/** A build that the stand-in has accepted. */
export interface StandInBuild {
  id: string;
  key: string;
  /** The part `build` */
  fields: Record<string, unknown>;
  /** The part `archive` */
  archive: Buffer;
  /** The state that the API returns */
  job: Record<string, unknown>;
  log: string[];
  isLogComplete: boolean;
  cancelled: number;
}

/** Answers a request in place of the stand-in. Returns false if the stand-in must answer. */
type Hook = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A build service on 127.0.0.1 that builds nothing. Tests determine the outcomes of its builds. */
export class StandIn implements AsyncDisposable {
  readonly builds: StandInBuild[] = [];
  /** Each request, e.g. `POST /api/v2/builds` */
  readonly requests: string[] = [];
  readonly authorizations = new Set<string | undefined>();
  /** The headers Last-Event-ID */
  readonly resumedAfter: (string | undefined)[] = [];
  /** Called first for each request. A function that has answered is removed. */
  readonly hooks: Hook[] = [];
  /** Answers a request before its body is requested */
  beforeBody: Hook = () => false;
  /** Called with a build when it has been accepted */
  onAccepted: (build: StandInBuild) => void = (build) => this.end(build, { state: "succeeded", imageId: ID });
  /** The number of uploads whose connection is lost instead of an answer. */
  answersToLose = 0;
  /** The numbers of lines after which the connection of a log is lost, each once. */
  readonly cuts: number[] = [];
  readonly #streams = new Map<StandInBuild, Set<() => void>>();
  #server = createServer();
  #port = 0;

  /** @param at a Unix socket */
  static async start(at?: string): Promise<StandIn> {
    const standIn = new StandIn();
    await standIn.listen(at);
    return standIn;
  }

  handle(request: IncomingMessage, response: ServerResponse): true {
    this.#answer(request, response).catch(() => response.destroy());
    return true;
  }

  async listen(at?: string): Promise<void> {
    this.#server = createServer((request, response) => void this.handle(request, response));
    this.#server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      if (this.beforeBody(request, response)) return;
      response.writeContinue();
      this.handle(request, response);
    });
    if (at === undefined) this.#server.listen(this.#port, "127.0.0.1");
    else this.#server.listen(at);
    await once(this.#server, "listening");
    if (at === undefined) ({ port: this.#port } = this.#server.address() as AddressInfo);
  }

  /** Ends all connections. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  log(build: StandInBuild, ...lines: string[]): void {
    build.log.push(...lines);
    this.#changed(build);
  }

  /** Reports a change or the end of a build. */
  change(build: StandInBuild, job: Record<string, unknown>): void {
    Object.assign(build.job, job);
    this.#changed(build);
  }

  end(build: StandInBuild, job: Record<string, unknown>): void {
    build.isLogComplete = true;
    this.change(build, job);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #changed(build: StandInBuild): void {
    for (const write of this.#streams.get(build) ?? []) write();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "" } = request;
    const [path = ""] = url.split("?");
    this.requests.push(`${method} ${url}`);
    this.authorizations.add(request.headers.authorization);
    const answered = this.hooks.findIndex((hook) => hook(request, response));
    if (answered !== -1) return void this.hooks.splice(answered, 1);
    const [, id = "", rest = ""] = /^\/api\/v2\/builds\/([\w-]+)(\/\w+)?$/.exec(path) ?? [];
    const build = this.builds.find((one) => one.id === id);
    if (method === "GET" && url.startsWith("/api/v2/builds?")) return sendJson(response, 200, { builds: [] });
    if (method === "POST" && path === "/api/v2/builds") return await this.#accept(request, response);
    if (build === undefined) return sendJson(response, 404, { title: "Not Found", detail: "There is no such job." });
    if (method === "POST" && rest === "/cancel") {
      build.cancelled++;
      this.end(build, { state: "cancelled", reason: { code: "cancelled", message: "the build was cancelled" } });
    } else if (rest === "/logs") return this.#stream(build, request, response);
    sendJson(response, 200, build.job);
  }

  async #accept(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts = await readParts(request);
    const key = String(request.headers["idempotency-key"]);
    const known = this.builds.find((one) => one.key === key);
    const fields = JSON.parse(parts.get("build")?.toString() ?? "") as Record<string, unknown>;
    const archive = parts.get("archive") ?? Buffer.alloc(0);
    if (known !== undefined && !known.archive.equals(archive))
      return sendJson(response, 422, { detail: "other files" });
    const id = known?.id ?? `build-${this.builds.length + 1}`;
    const build: StandInBuild = known ?? {
      id,
      key,
      fields,
      archive,
      job: { id, state: "queued", position: 0, seconds: {} },
      log: [],
      isLogComplete: false,
      cancelled: 0,
    };
    if (known === undefined) {
      this.builds.push(build);
      this.onAccepted(build);
    }
    if (this.answersToLose > 0) {
      this.answersToLose--;
      return void request.socket.destroy();
    }
    sendJson(response, 202, build.job, { location: `/api/v2/builds/${id}` });
  }

  #stream(build: StandInBuild, request: IncomingMessage, response: ServerResponse): void {
    const isText = request.headers.accept !== "text/event-stream";
    const after = request.headers["last-event-id"];
    this.resumedAfter.push(after === undefined ? undefined : String(after));
    const send = (event: string, data: string, id?: string): void => {
      if (!isText) response.write(`event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${data}\n\n`);
      else if (event === "log") response.write(`${data}\n`);
    };
    response.writeHead(200, { "content-type": isText ? "text/plain" : "text/event-stream" });
    if (!isText) response.write(": here it begins\n\n");
    let next = after === undefined ? 0 : Number(String(after).slice(1));
    const streams = this.#streams.get(build) ?? new Set();
    this.#streams.set(build, streams);
    let told = "";
    const write = (): void => {
      if (response.writableEnded || response.destroyed) return;
      const job = JSON.stringify(build.job);
      if (job !== told) send("job", job);
      told = job;
      for (; next < build.log.length; next++) {
        if (next === this.cuts[0]) {
          this.cuts.shift();
          streams.delete(write);
          return void response.write("event: log\nid: cut", () => response.destroy());
        }
        send("log", build.log[next] ?? "", `L${next + 1}`);
      }
      if (!build.isLogComplete) return;
      send("end", "{}");
      response.end();
    };
    streams.add(write);
    request.once("close", () => streams.delete(write));
    write();
  }
}

/** An image ID */
export const ID = `sha256:${"5d".repeat(32)}`;

export function sendJson(
  response: ServerResponse,
  status: number,
  value: object,
  headers: Record<string, string> = {},
): void {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type, ...headers }).end(JSON.stringify(value));
}

/** Reads a whole form (a real server must not do this), or an archive, whose fields are in the query. */
async function readParts(request: IncomingMessage): Promise<Map<string, Buffer>> {
  const [, boundary = ""] = /boundary=(.+)$/.exec(request.headers["content-type"] ?? "") ?? [];
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const whole = Buffer.concat(chunks);
  if (boundary === "") {
    const fields = Object.fromEntries(new URL(request.url ?? "", "http://localhost").searchParams);
    return new Map([
      ["build", Buffer.from(JSON.stringify(fields))],
      ["archive", whole],
    ]);
  }
  const body = whole.toString("latin1");
  const parts = body.split(`--${boundary}`).slice(1, -1);
  return new Map(
    parts.map((part) => {
      const end = part.indexOf("\r\n\r\n");
      const [, name = ""] = / name="([^"]+)"/.exec(part.slice(0, end)) ?? [];
      return [name, Buffer.from(part.slice(end + 4, -2), "latin1")];
    }),
  );
}
