import type { EngineImages } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import { LayerProgress } from "../engine/api/layer-progress.ts";
import { forgetName, giveTemporaryName } from "../engine/temporary-name.ts";
import type { Reference } from "../image/reference.ts";
import { Failure, messageOf } from "../output/errors.ts";
import type { Progress } from "../output/output.ts";
import type { TemporaryRegistry } from "./temporary-registry.ts";
import type { Platform } from "../image/platform.ts";

export interface RegistryPushOptions {
  /** A temporary name at the registry's host; removed before this settles. */
  name: string;
  /** `os/arch[/variant]` to push. */
  platform: Platform;
  /** True if the image has several platforms, and only `platform` is pushed. */
  onlyPlatform: boolean;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
}

/** Lets the engine push an image into the registry. After a failure the caller calls {@link forgetBrokenOffName}. */
export async function pushIntoRegistry(
  engine: EngineImages,
  registry: TemporaryRegistry,
  image: Reference,
  options: RegistryPushOptions,
): Promise<void> {
  const { name, platform, signal, onProgress } = options;
  const layers = new LayerProgress("preparing");
  const full = new AbortController();
  const stop = AbortSignal.any([signal, full.signal]);
  try {
    if (!(await giveTemporaryName(engine, image, name))) throw withoutName(image);
    await engine.pushImage(name, {
      ...(registry.pushCredentials === undefined ? {} : { credentials: registry.pushCredentials }),
      ...(options.onlyPlatform ? { platform } : {}),
      signal: stop,
      onProgress: (line) => {
        if (layers.add(line)) onProgress(layers.progress);
        // An engine tries five times, 5 to 25 s apart, even if the registry's disk is full.
        if (line.status.startsWith("Retrying"))
          void hasFullDisk(registry).then((isFull) => isFull && full.abort(noSpace(image)));
      },
    });
  } catch (error) {
    stop.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    throw (await hasFullDisk(registry)) ? noSpace(image, error) : pushFailed(image, registry, error);
  } finally {
    await forgetName(engine, name);
  }
}

/** Looks for a full disk in the registry's log, because an engine only reports it as "500 Internal Server Error". */
async function hasFullDisk(registry: TemporaryRegistry): Promise<boolean> {
  return /no space left on device/i.test(await registry.readLogs().catch(() => ""));
}

function withoutName({ given }: Reference): Failure {
  return new Failure("registry-unavailable", `${given} has no name, and an engine pushes no image without one`, {
    expected: "an image with a name, or the embedded registry",
    hint: `Omit --registry, or give the image a name first: docker tag ${given} NAME`,
  });
}

function noSpace(image: Reference, cause?: Error): Failure {
  return new Failure(
    "no-space",
    `the temporary registry ran out of disk space while ${image.given} was pushed into it`,
    {
      expected: "room for one compressed copy of the image where the engine keeps its volumes",
      hint: "Free some space (docker system df, docker system prune), or use a registry elsewhere with --registry HOST:PORT.",
      cause,
    },
  );
}

function pushFailed(image: Reference, registry: TemporaryRegistry, cause: Error): Failure {
  const message = `the engine could not push ${image.given} into the temporary registry at ${registry.pushHost}: ${messageOf(cause)}`;
  if (/HTTP response to HTTPS client/i.test(messageOf(cause))) {
    return new Failure("registry-unavailable", message, {
      expected: "HTTPS at that address, or an engine that allows HTTP for it",
      hint: `Add ${registry.pushHost} to the engine's "insecure-registries" (daemon.json), or use a registry on 127.0.0.1.`,
      cause,
    });
  }
  return new Failure("registry-unavailable", message, {
    expected: "an engine that reaches the registry at that address",
    hint: "For an engine on another machine, name a registry that both reach: --registry HOST:PORT.",
    cause,
  });
}
