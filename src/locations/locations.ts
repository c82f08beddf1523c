import type { PullRequest, PushRequest, TransferRequest } from "../request.ts";
import { setImmediate } from "node:timers/promises";
import type { Target } from "../receive/target.ts";
import type { Source } from "../send/source.ts";
import { parseHost } from "../engine/connect/endpoint.ts";
import { inputKind, isStdin } from "../image/archive/archive-input.ts";
import { parseImageName, type ImageName } from "../image/image-name.ts";
import { InvalidLocation, parseLocation, type FileLocation, type ImageLocation } from "../image/location.ts";
import { fullName, InvalidReference, parseReference, type Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { chooseRegistry } from "../registry/choose-registry.ts";
import type { Context } from "../transfer.ts";

/** Begins to open the place that an image is sent from: the engine, unless its name begins with another place. */
export function openSource(request: PushRequest, context: Context): Opening<Source> {
  if (request.as !== undefined) readReference(request.as);
  const location = readLocation(request.image) ?? { kind: "docker-daemon", reference: request.image };
  if (location.kind !== "docker-daemon") {
    const registry = request.registry === "embedded" ? undefined : request.registry;
    refuseOptions(location, { "--registry": registry, "--host": request.host });
    refuseTunnelAsArchive(location, request);
    const opened = opening(request, context, async ({ archiveSource }, signal) => {
      return await archiveSource(location, { ...context, signal });
    });
    return { ...opened, takesTime: async () => await takesTime(location) };
  }
  const image = readImageName(location.reference ?? "");
  const choice = chooseRegistry(request.registry, context.env);
  if (choice.kind !== "embedded") refuseCompress(request);
  refuseHost(request.host, context.env);
  return opening(request, context, async ({ connect, engineSource }, stop) =>
    engineSource(await connect(request, context, stop), choice, image),
  );
}

/** Stdin is the tunnel of a side that was started by the other. */
function refuseTunnelAsArchive({ given, path }: FileLocation, { command }: TransferRequest): void {
  if (command.length > 0 || !isStdin(path)) return;
  throw new Failure("usage", `${given} is stdin, and without a command stdin is the other side`, {
    expected: "a command that runs the other side, or an archive that is a file",
    hint: `docker save IMAGE | docker-over-ssh push ${given} ssh HOST "docker-over-ssh pull IMAGE"`,
  });
}

/** Must an archive be read to its end before anything can be said of it? */
async function takesTime({ path }: FileLocation): Promise<boolean> {
  const input = await inputKind(path).catch(() => undefined); // whoever opens it says what is wrong
  return input === "packed" || input === "stream";
}

/** What no engine's address can be is told at once; where the engine is, files may say. */
function refuseHost(host: string | undefined, { DOCKER_HOST = "" }: NodeJS.ProcessEnv): void {
  const address = (host ?? DOCKER_HOST).trim();
  if (address !== "") parseHost(address, host === undefined ? "DOCKER_HOST" : "-H");
}

/** What an engine pushes into a registry is served as it is. */
function refuseCompress({ compress }: PushRequest): void {
  if (compress === undefined || compress.how === "auto") return;
  throw new Failure(
    "usage",
    "--compress has no meaning with a registry that the engine pushes into: it gives blobs as they are",
    {
      expected: "--compress, or such a registry, not both",
      hint: "Leave --compress out, or serve the image from this process: --registry embedded.",
    },
  );
}

/** Begins to open the place that an image is put into: the engine, unless --to names another. */
export function openTarget(request: PullRequest, context: Context): Opening<Target> {
  const { host, via, to } = request;
  const location = to === undefined ? undefined : readTo(to);
  if (location !== undefined && location.kind !== "docker-daemon") {
    refuseOptions(location, { "--via": via, "--host": host });
    const stdoutIsTunnel = request.command.length === 0;
    return opening(request, context, async ({ archiveTarget, layoutTarget }) =>
      location.kind === "oci" ? await layoutTarget(location) : await archiveTarget(location, stdoutIsTunnel),
    );
  }
  const called = location?.reference === undefined ? undefined : readReference(location.reference);
  refuseHost(host, context.env);
  return opening(request, context, async ({ connect, ownEngineTarget }, stop) =>
    ownEngineTarget(await connect(request, context, stop), via, called),
  );
}

function readTo(to: string): ImageLocation {
  const location = readLocation(to);
  if (location !== undefined) return location;
  throw new Failure("usage", `--to ${to} names no place`, {
    expected: "docker-daemon:, docker-archive:FILE, oci:FOLDER or oci-archive:FILE",
    hint: `For instance --to oci:${to}`,
  });
}

/**
 * The image that is asked for, and what it is to be called here; `asked`, what the sending side calls it, if that is something else. Where
 * it is, the sending side knows.
 */
export function readAsked({ image, as, to }: PullRequest): { image: Reference; asked?: string } {
  const named = readImageName(nameAlone(image));
  const location = to === undefined ? undefined : readTo(to);
  const called = location?.kind === "docker-daemon" ? location.reference : undefined;
  if (as !== undefined && called !== undefined) {
    throw new Failure("usage", `--as ${as} and --to ${to} are two names for one image`, {
      expected: "one of them",
      hint: "Leave the name behind docker-daemon: out, or --as.",
    });
  }
  const name = as ?? called;
  if (name !== undefined) return { image: readReference(name), asked: named.given };
  if (named.reference !== undefined) return { image: named.reference };
  throw nameless(image);
}

/** An image that is known by its ID cannot be called that where it arrives. */
export function nameless(image: string): Failure {
  return new Failure("usage", `${image} is an image ID, and the image needs a name where it arrives`, {
    expected: "--as NAME",
    hint: `For instance --as app:v2 ${image}`,
  });
}

/** Whether this side was told a name to give the image (--as). Throws where the receiver asks for another one. */
export function sameAsTold(as: string | undefined, { given, reference }: ImageName): boolean {
  if (as === undefined) return false;
  if (reference !== undefined && fullName(reference) === fullName(readReference(as))) return true;
  throw new Failure("refused", `the sending side was told --as ${as}, the receiving side asks for ${given}`, {
    expected: "the same name on both sides",
    hint: `Ask for ${as} there, or leave --as out: the image gets the name that is asked for.`,
  });
}

function nameAlone(image: string): string {
  const location = readLocation(image);
  if (location === undefined) return image;
  if (location.kind === "docker-daemon") return location.reference ?? "";
  throw new Failure("usage", `${image} is a place, and what is asked for is an image`, {
    expected: "the image's name, and behind --to where it is to be put",
    hint: `For instance --to ${image} IMAGE; an image of that name is docker-daemon:${image}`,
  });
}

/** The reference that was typed. Throws a `usage` Failure. */
export function readReference(image: string): Reference {
  return reading(() => parseReference(image));
}

/** The reference that was typed, or the image's ID. Throws a `usage` Failure. */
export function readImageName(image: string): ImageName {
  return reading(() => parseImageName(image));
}

function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InvalidReference)) throw error;
    throw new Failure("usage", error.message, {
      expected: "NAME[:TAG], with a registry's host before it if you like",
      hint: "For instance app:v2 or registry.example.com/team/app:v2.",
      cause: error,
    });
  }
}

/** The place that was typed; undefined when it is an image's name alone. Throws a `usage` Failure. */
export function readLocation(given: string): ImageLocation | undefined {
  try {
    return parseLocation(given);
  } catch (error) {
    if (!(error instanceof InvalidLocation)) throw error;
    throw new Failure("usage", error.message, {
      expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE, with :NAME behind it if you like",
      hint: "For instance docker-archive:app.tar or oci:./layout:v2.",
      cause: error,
    });
  }
}

/** What is said of an engine has no meaning where there is none. Throws a `usage` Failure for such options. */
function refuseOptions({ given }: ImageLocation, options: Record<string, string | undefined>): void {
  const option = Object.keys(options).find((name) => options[name] !== undefined);
  if (option === undefined) return;
  throw new Failure("usage", `${option} is for an engine, and ${given} is a place without one`, {
    expected: `an image in an engine, or no ${option}`,
    hint: `Leave ${option} out.`,
  });
}

/** A place that is being opened, and is disposed of whether that has worked or not. */
export interface Opening<T> extends AsyncDisposable {
  opened: Promise<T>;
  /** Tells whether that may take longer than a far end waits for a word: then it is started when this has been opened. Left out: no. */
  takesTime?(): Promise<boolean>;
}

type Rooms = typeof import("./open-locations.ts");

/**
 * Begins to open a place; an abort, and disposing, end that, also when the engine behind it does not answer. What that needs is loaded in
 * 25 ms. A far command is to be started before, which is what the rest of this turn is for.
 */
function opening<T extends AsyncDisposable>(
  { command }: TransferRequest,
  { signal }: Context,
  open: (rooms: Rooms, signal: AbortSignal) => Promise<T>,
): Opening<T> {
  const leaving = new AbortController();
  const stop = AbortSignal.any([signal, leaving.signal]);
  const begin = async (): Promise<T> => {
    if (command.length > 0) await setImmediate();
    return await open(await import("./open-locations.ts"), stop);
  };
  const opened = begin();
  opened.catch(() => {}); // whoever awaits it hears of it
  return {
    opened,
    async [Symbol.asyncDispose]() {
      leaving.abort(new Error("the place has been disposed of"));
      const owned = await opened.catch(() => undefined);
      await owned?.[Symbol.asyncDispose]();
    },
  };
}
