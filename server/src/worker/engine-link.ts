import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import {
  abortable,
  chooseEndpoint,
  deadline,
  namedEndpoint,
  openEngine,
  parseHost,
  type Engine,
  type EngineEndpoint,
} from "docker-over-ssh/builds";

/** ms between two attempts to reach an engine: at first, and at most. A login by ssh costs more. */
const FIRST_WAIT = 100;
const LONGEST_WAIT = 1_000;
const LONGEST_SSH_WAIT = 15_000;
/** ms that an engine may take to say that it is there */
const ANSWER_LIMIT = 10_000;
/** Where tutum-builder looked for an engine */
const FALLBACK = "http://127.0.0.1:4243";

/** The connection to one engine, which is opened again when it is lost. Disposing closes it. */
export class EngineLink implements AsyncDisposable {
  /** e.g. `unix:///var/run/docker.sock` */
  readonly address: string;
  readonly #find: () => Promise<EngineEndpoint>;
  readonly #longestWait: number;
  #opened: Promise<Engine> | undefined;
  /** Jobs that use it: it is not closed under them. */
  #users = 0;

  private constructor(first: EngineEndpoint, find: () => Promise<EngineEndpoint>) {
    this.address = first.host;
    this.#find = find;
    this.#longestWait = first.address.protocol === "ssh" ? LONGEST_SSH_WAIT : LONGEST_WAIT;
  }

  /**
   * Prepares the link, and connects to nothing.
   *
   * @param host as for -H; undefined: the engine that the docker command would use, or, where neither DOCKER_HOST nor a docker context names one
   *   and the default socket does not exist, the one at http://127.0.0.1:4243
   * @param isThere whether there is a file
   * @throws Failure as `chooseEndpoint`
   */
  static async prepare(
    host: string | undefined,
    env: NodeJS.ProcessEnv,
    isThere: (path: string) => boolean = existsSync,
  ): Promise<EngineLink> {
    const named = namedEndpoint(host, env);
    const find = async (): Promise<EngineEndpoint> => {
      const chosen = await chooseEndpoint({ named, env, homedir: homedir() });
      return named === undefined && isDefault(chosen) && !isThere(chosen.address.path)
        ? parseHost(FALLBACK, "the default socket is missing")
        : chosen;
    };
    return new EngineLink(await find(), find);
  }

  /** Has `use` use the engine. Rejects with a Failure `engine-unreachable`, and as `use` does. */
  async with<T>(use: (engine: Engine) => Promise<T>): Promise<T> {
    this.#users += 1;
    try {
      return await use(await this.#engine());
    } finally {
      this.#users -= 1;
    }
  }

  /** Resolves when the engine answers; waits while it does not. Rejects only with the signal's reason. */
  async isReady(signal: AbortSignal): Promise<void> {
    for (let pause = FIRST_WAIT; ; pause = Math.min(2 * pause, this.#longestWait)) {
      signal.throwIfAborted();
      try {
        return await this.look(signal);
      } catch {
        await wait(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  /** Resolves when the engine answers. Rejects with a Failure `engine-unreachable` when it does not within some seconds, or the signal's reason. */
  async look(signal: AbortSignal): Promise<void> {
    using limit = deadline(ANSWER_LIMIT, signal);
    try {
      await abortable(
        this.with(async (engine) => void (await engine.info())),
        limit.signal,
      );
    } catch (error) {
      await this.#closeIdle();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #engine(): Promise<Engine> {
    const opening = (this.#opened ??= this.#find().then(async (endpoint) => await openEngine(endpoint)));
    try {
      return await opening;
    } catch (error) {
      if (this.#opened === opening) this.#opened = undefined;
      throw error;
    }
  }

  /** An engine may come back with another version: what was agreed with it is forgotten. */
  async #closeIdle(): Promise<void> {
    if (this.#users === 0) await this.#close();
  }

  async #close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    const engine = await opened?.catch(() => undefined);
    await engine?.[Symbol.asyncDispose]();
  }
}

type SocketEndpoint = EngineEndpoint & { address: { protocol: "unix"; path: string } };

function isDefault(endpoint: EngineEndpoint): endpoint is SocketEndpoint {
  return endpoint.source === "context default" && endpoint.address.protocol === "unix";
}
