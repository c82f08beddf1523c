import { Failure } from "../output/errors.ts";
import { explainError } from "../explain-error.ts";
import { parseArchivedName } from "../image/archived-name.ts";
import type { FileLocation } from "../image/location.ts";
import { openSource, openTarget } from "../locations/locations.ts";
import { receive } from "../pull.ts";
import { send } from "../push.ts";
import type { Target } from "../receive/target.ts";
import type { LocationConnection, PullRequest, SharedRequest, TransferRequest } from "../request.ts";
import type { Source } from "../send/source.ts";
import { runWithOtherSide, type Side } from "../stdio-tunnel/in-process.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { abortable } from "../streams/abortable.ts";
import type { Traffic } from "../traffic.ts";
import { featuresOf, type Connect, type Context } from "../transfer.ts";
import { VERSION } from "../version.ts";

/** Connects to a file or a folder (push --to, pull --from): both sides of the transfer run in this process. */
export function connectToLocation(connection: LocationConnection, request: TransferRequest, context: Context): Connect {
  return async (use, { ready, signal }) => {
    await abortable(ready, signal);
    let target: Target | undefined;
    /** For an archive, the bytes written, because layers by delta are smaller than the layers that passed through this process. */
    const trafficOf = (tunnel: Tunnel): Traffic => ({
      program: "none",
      get bytesSent() {
        return target?.written ?? tunnel.bytesSent;
      },
      get bytesReceived() {
        return tunnel.bytesReceived;
      },
    });
    const other: Side = async (tunnel, stop) => {
      const there = { ...context, signal: stop };
      if (request.role === "sender") {
        const { location, partial } = connection;
        const receiving = { ...sharedOf(request), target: location, partial, isRenamed: false, acceptsNames: true };
        await using opening = openTarget({ role: "receiver", ...receiving }, there);
        target = await opening.opened;
        await receive(tunnel, target, receiving, there);
      } else {
        const sending = { ...sharedOf(request), source: namedIn(connection.location, request) };
        const engine = request.target.kind === "docker-daemon" ? request.target : undefined;
        await using opening = openSource({ role: "sender", ...sending }, there, engine);
        const source = await opening.opened;
        await source.check(request);
        await refuseWithoutName(source, request, connection.location.given);
        await send(tunnel, source, sending, there);
      }
    };
    return await runWithOtherSide(
      request.role,
      async (tunnel, stop) => await use(tunnel, stop, trafficOf(tunnel)),
      other,
      { tool: VERSION, features: featuresOf(request), signal, explain: explainError },
    );
  };
}

/** Returns the location with the image that is pulled from it: an archive finds its only image under any requested name. */
function namedIn(location: FileLocation, { image }: PullRequest): FileLocation {
  if (location.name !== undefined || image?.reference === undefined) return location;
  return { ...location, name: parseArchivedName(image.given) };
}

/** Throws a `usage` Failure if neither the command line nor the location names the one image to pull. */
async function refuseWithoutName(source: Source, request: PullRequest, given: string): Promise<void> {
  const { image, name } = request;
  if (image !== undefined || name !== undefined || (await source.name?.(request)) !== undefined) return;
  throw new Failure(
    "usage",
    `${given} has several images or names, or an image without a full name, and no IMAGE is named`,
    {
      expected: "the name of one of its images; or --as NAME for the only one",
      hint: `docker-over-ssh pull --from ${given} IMAGE`,
    },
  );
}

/** Returns the options of both sides. Names belong only to the side that the command line is about. */
function sharedOf({ platform, platforms, timeout, delta, preserveDigest, dryRun }: TransferRequest): SharedRequest {
  return {
    connection: { kind: "in-process", with: "location" },
    platform,
    platforms,
    timeout,
    delta,
    preserveDigest,
    dryRun,
  };
}
