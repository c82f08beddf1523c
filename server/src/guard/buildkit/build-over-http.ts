import { randomBytes } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type { ApiObject } from "../backend.ts";
import type { BuildRequest } from "../build-request.ts";
import type { Caller } from "../caller.ts";
import { Refusal } from "../refusal.ts";
import type { GuardedBuildkit } from "./create-buildkit.ts";
import { StatusResponseSchema } from "./gen/control_pb.ts";
import type { SolveOrder } from "./solve-for-tenant.ts";

/** Marks, in `remote` and `buildid`, a context that a separate request sends (moby `daemon/builder/backend`) */
const UPLOAD_REQUEST = "upload-request";
/** The API's name for a build without an exporter, whose result stays in the cache */
const CACHE_ONLY = "cacheonly";

/** `POST /build?version=2`: builds of clients that use BuildKit without buildx, e.g. the docker CLI 20.10 with DOCKER_BUILDKIT=1. */
export interface BuildsOverHttp {
  /**
   * Builds the context that a session or an address provides. `onLine` gets the progress in the engine's format, then the image's ID. For a quiet
   * build, it gets only the ID. A failure after the first line is also reported as a line.
   *
   * @throws Refusal
   */
  build(caller: Caller, request: BuildRequest, onLine: (line: ApiObject) => void): Promise<void>;
  /** Ends the tenant's build with this `buildid`. Returns false if no such build is running. */
  cancel(tenant: string, buildId: string): boolean;
}

export function buildsOverHttp(buildkit: Pick<GuardedBuildkit, "solve">): BuildsOverHttp {
  /** By tenant and build ID */
  const running = new Map<string, AbortController>();
  return {
    async build(caller, request, onLine) {
      const order = solveOrder(request);
      const key = request.buildId === undefined ? undefined : keyOf(caller.tenant.id, request.buildId);
      if (key !== undefined && running.has(key))
        throw new Refusal("build.id", "a build with this buildid is running", { statusCode: 409 });
      const cancelled = new AbortController();
      if (key !== undefined) running.set(key, cancelled);
      let hasLine = false;
      const sendLine = (line: ApiObject): void => {
        hasLine = true;
        onLine(line);
      };
      try {
        const signal = AbortSignal.any([caller.signal, cancelled.signal]);
        const { imageId } = await buildkit.solve({ ...caller, signal }, order, (status) => {
          if (request.quiet) return;
          const aux = Buffer.from(toBinary(StatusResponseSchema, status)).toString("base64");
          sendLine({ id: "moby.buildkit.trace", aux });
        });
        // The CLI prints the `stream` of a quiet build, and reads the ID from it.
        if (imageId !== undefined)
          sendLine(request.quiet ? { stream: `${imageId}\n` } : { id: "moby.image.id", aux: { ID: imageId } });
      } catch (error) {
        if (!hasLine || caller.signal.aborted || !(error instanceof Refusal)) throw error;
        caller.note.rule = error.rule;
        onLine({ errorDetail: { message: error.message }, error: error.message });
      } finally {
        if (key !== undefined) running.delete(key);
      }
    },
    cancel(tenant, buildId) {
      const found = running.get(keyOf(tenant, buildId));
      found?.abort(new Refusal("build.cancelled", "the build was cancelled", { statusCode: 499 }));
      return found !== undefined;
    },
  };
}

/** Translates the request as the engine does (moby `daemon/internal/builder-next/builder.go`). Throws a Refusal for a context in the body. */
function solveOrder(request: BuildRequest): SolveOrder {
  const { session, remote, outputs, names } = request;
  if (remote === UPLOAD_REQUEST || request.buildId?.startsWith(`${UPLOAD_REQUEST}:`) || (!remote && !session)) {
    throw new Refusal(
      "build.body",
      "with BuildKit, the context must be a folder, which is sent through a session: unpack the tar first, or use the classic builder (DOCKER_BUILDKIT=0)",
    );
  }
  if (outputs.length > 1)
    throw new Refusal("exporter.several", "a build may have one output here: omit the other --output");
  const [output = { type: "moby", attributes: {} }] = outputs;
  const isImage = output.type === "moby" || output.type === "image";
  const name = isImage && names.length > 0 ? { name: names.join(",") } : {};
  return {
    ref: randomBytes(16).toString("hex"),
    session,
    attributes: attributesOf(request),
    cacheFrom: request.cacheFrom,
    exporters: output.type === CACHE_ONLY ? [] : [{ type: output.type, attrs: { ...output.attributes, ...name } }],
  };
}

function attributesOf(request: BuildRequest): Record<string, string> {
  const { target, dockerfile, remote, buildArgs, labels, platform, network, extraHosts, shmSize, ulimits } = request;
  const attributes: Record<string, string> = {
    filename: dockerfile,
    "image-resolve-mode": request.pull ? "pull" : "default",
  };
  if (target !== undefined) attributes["target"] = target;
  if (remote !== undefined) attributes["context"] = remote;
  if (platform !== undefined) attributes["platform"] = platform;
  if (request.noCache) attributes["no-cache"] = "";
  if (network !== "default") attributes["force-network-mode"] = network;
  if (extraHosts.length > 0) attributes["add-hosts"] = extraHosts.map((host) => host.replace(":", "=")).join(",");
  if (shmSize !== undefined) attributes["shm-size"] = String(shmSize);
  if (ulimits.length > 0) attributes["ulimit"] = ulimits.join(",");
  // An argument without a value refers to the builder's environment, which is empty.
  for (const [key, value] of Object.entries(buildArgs)) if (value !== null) attributes[`build-arg:${key}`] = value;
  for (const [key, value] of Object.entries(labels)) attributes[`label:${key}`] = value;
  return attributes;
}

function keyOf(tenant: string, buildId: string): string {
  return `${tenant} ${buildId}`;
}
