import { execa } from "execa";
import { pidFile, type DaemonOptions, type EngineDescription } from "./daemon.ts";
import { startDocker } from "./dockerd.ts";
import { listEngine, type Listing } from "./listing.ts";
import { runInside } from "./machine.ts";
import { podmanEnv, startPodman } from "./podman.ts";
import { isStopped } from "./processes.ts";
import { run } from "./programs.ts";
import { until } from "./wait.ts";

/** A Docker engine of the test bed. */
export class Engine {
  readonly description: EngineDescription;

  constructor(description: EngineDescription) {
    this.description = description;
  }

  /** The value for `DOCKER_HOST` and `-H`. */
  get host(): string {
    return `unix://${this.description.socket}`;
  }

  /** The engine's version in `docker version`. With `kind` 28.5, it may be a later version by now. */
  get version(): string {
    return this.description.version;
  }

  /** The environment in which `docker` (or `podman` for Podman) is this engine's CLI and connects to it. */
  get env(): { DOCKER_HOST: string; DOCKER_CONFIG: string; PATH: string } {
    const { configFolder, path, daemon } = this.description;
    const env = { DOCKER_HOST: this.host, DOCKER_CONFIG: configFolder, PATH: path };
    return this.#isPodman && daemon ? { ...env, ...podmanEnv(daemon.machine, this.host) } : env;
  }

  /** Runs the docker CLI on this engine. @throws ExecaError with docker's output when it fails */
  async docker(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    return await execa("docker", args, { env: this.env, stdin: "ignore" });
  }

  /** Runs the podman CLI on this engine, which must be of the kind `podman`. */
  async podman(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    return await execa("podman", args, { env: this.env, stdin: "ignore" });
  }

  /** Runs skopeo on the machine of a Podman. The machine's /var/lib then contains skopeo's blob cache. */
  async skopeo(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    const { machine } = this.#daemon();
    return await runInside(machine, "env", [`PATH=${this.env.PATH}`, "skopeo", "--insecure-policy", ...args]);
  }

  /** Runs the docker CLI with input on its stdin. */
  async dockerWithInput(
    input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    args: string[],
    env: Record<string, string> = {},
  ): Promise<{ stdout: string; stderr: string }> {
    return await execa("docker", args, { env: { ...this.env, ...env }, stdin: input });
  }

  /** Lists the engine's content. The result equals an earlier listing if nothing has been left behind. */
  async listing(): Promise<Listing> {
    return await listEngine(this.description.socket);
  }

  /** Stops the engine as a service manager does. Its containers also stop, except for those of Podman. */
  async stop(): Promise<void> {
    const { machine } = this.#daemon();
    const script = `pid=$(cat "$0"); kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done`;
    await runInside(machine, "sh", ["-c", script, pidFile(machine)]);
  }

  /**
   * Makes the engine hang (`STOP`), as on a machine that is out of memory, or continue (`CONT`). The outer nsenter, which waits for the engine,
   * also stops, and passes `CONT` on to the engine. Waits until nsenter has stopped: if it stopped after `CONT`, the machine would never end.
   */
  async signal(signal: "STOP" | "CONT"): Promise<void> {
    const { machine } = this.#daemon();
    const pattern = `(dockerd|system service) .*${this.description.socket}`;
    if (signal === "CONT") return void (await run`pkill -CONT --full ${pattern}`);
    await runInside(machine, "sh", ["-c", 'kill -STOP "$(cat "$0")"', pidFile(machine)]);
    const { stdout } = await run`pgrep --full ${pattern}`;
    await until("the engine hangs", () => stdout.split("\n").every((pid) => isStopped(Number(pid))));
  }

  /** Starts the engine (again), with its images. Waits until it answers. */
  async start(): Promise<void> {
    const daemon = this.#daemon();
    const start = this.#isPodman ? startPodman : startDocker;
    await start(daemon, this.description);
  }

  get #isPodman(): boolean {
    return this.description.kind === "podman";
  }

  #daemon(): DaemonOptions {
    const { daemon } = this.description;
    if (!daemon) throw new Error("this engine was running before the test bed, which must not stop it");
    return daemon;
  }
}
