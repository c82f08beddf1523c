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

/**
 * First and maximum ms between two attempts to reach an engine. A login by ssh is more expensive than other
 * connections.
 */
const FIRST_WAIT = 100;
const LONGEST_WAIT = 1_000;
const LONGEST_SSH_WAIT = 15_000;
/** ms within which an engine must answer a ping */
const PING_TIMEOUT = 10_000;
/** The default address of the engine in tutum-builder */
const DEFAULT_ADDRESS = "http://127.0.0.1:4243";

/** The connection to one engine, which is reopened after a loss. Disposing closes it. */
export class EngineLink implements AsyncDisposable {
  /** e.g. `unix:///var/run/docker.sock` */
  readonly address: string;
  readonly #find: () => Promise<EngineEndpoint>;
  readonly #longestWait: number;
  #opened: Promise<Engine> | undefined;
  /** Number of jobs that use the connection: it is not closed while they run. */
  #users = 0;

  private constructor(first: EngineEndpoint, find: () => Promise<EngineEndpoint>) {
    this.address = first.host;
    this.#find = find;
    this.#longestWait = first.address.protocol === "ssh" ? LONGEST_SSH_WAIT : LONGEST_WAIT;
  }

  /**
   * Prepares the link without connecting.
   *
   * @param host in the format of -H; undefined: the engine that the docker command would use, or http://127.0.0.1:4243
   * if neither DOCKER_HOST nor a docker context names an engine and the default socket does not exist
   * @param isThere returns whether a file exists
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
        ? parseHost(DEFAULT_ADDRESS, "the default socket is missing")
        : chosen;
    };
    return new EngineLink(await find(), find);
  }

  /** Calls `use` with the engine. Rejects with a Failure `engine-unreachable`, and like `use`. */
  async with<T>(use: (engine: Engine) => Promise<T>): Promise<T> {
    this.#users += 1;
    try {
      return await use(await this.#engine());
    } finally {
      this.#users -= 1;
    }
  }

  /** Resolves when the engine answers, and waits until it does. Rejects only with the signal's reason. */
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

  /**
   * Resolves when the engine answers. Rejects with a Failure `engine-unreachable` if it does not answer within some
   * seconds, or with the signal's reason.
   */
  async look(signal: AbortSignal): Promise<void> {
    using limit = deadline(PING_TIMEOUT, signal);
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

  /** An engine may return with another version, so negotiated settings are discarded. */
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
