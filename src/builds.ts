/**
 * The library `docker-over-ssh/builds`, for programs that let an engine build images from contexts. docker-over-ssh-server is based on it.
 * It may change with every version of docker-over-ssh, so the server depends on one exact version.
 */
export { startProgram, type Program } from "./child-process/start-program.ts";
export { openArchiveContext } from "./build-context/archive/open-archive-context.ts";
export { readHeader as readTarHeader } from "./build-context/tar/read-header.ts";
export {
  EXTENSIONS as TAR_EXTENSIONS,
  readExtension as readTarExtension,
  type Extension as TarExtension,
} from "./build-context/tar/tar-extension.ts";
export { BLOCK as TAR_BLOCK, padding as tarPadding } from "./build-context/tar/tar-header.ts";
export { headersOf as tarHeadersOf } from "./build-context/tar/write-context-tar.ts";
export { trimSpace } from "./build-context/ignore/docker-pattern.ts";
export { dockerignoreRules } from "./build-context/ignore/dockerignore.ts";
export { ARCHIVE_LIMITS } from "./build-context/archive/limits.ts";
export type { BuildContext, ContextEntry, ContextFile } from "./build-context/build-context.ts";
export { buildOutputEvent } from "./build-log/build-output-event.ts";
export { PlainLog } from "./build-log/plain-log.ts";
export { credentialsInFile } from "./credentials/credentials-in-file.ts";
export { registryCredentials } from "./credentials/registry-credentials.ts";
export { registryKey } from "./credentials/registry-host.ts";
export { jsonLines } from "./engine/api/json-lines.ts";
export { CPU_PERIOD, MIN_CPU_QUOTA } from "./engine/build/build-request.ts";
export { isAtLeast } from "./engine/compare-versions.ts";
export { chooseEndpoint } from "./engine/connect/choose-endpoint.ts";
export {
  describeEndpoint,
  mayReachUs,
  namedEndpoint,
  parseHost,
  type EngineEndpoint,
} from "./engine/connect/endpoint.ts";
export { openConnections, type EngineConnections } from "./engine/connect/open-connections.ts";
export { isHeader as isTarHeader, isZeros } from "./delta/tar-block.ts";
export type { Engine } from "./engine/engine.ts";
export type {
  BuildAnswers,
  BuilderKind,
  BuildEvent,
  BuildOptions,
  BuildOrder,
  BuiltImage,
} from "./engine/engine-builder.ts";
export { TOKEN_USER, type Credentials } from "./engine/credentials.ts";
export { EngineError } from "./engine/engine-error.ts";
export { readFrames } from "./engine/grpc/grpc-frames.ts";
export { connectHttp2 } from "./engine/grpc/connect-grpc.ts";
export { grpcOver, type GrpcConnection } from "./engine/grpc/grpc-connection.ts";
export { overHttp1, switchProtocol } from "./engine/http/http1.ts";
export type { HttpAnswer } from "./engine/http/requests.ts";
export type { DiskUsage, ImageInfo } from "./engine/engine-images.ts";
export { openEngine } from "./engine/open/open-engine.ts";
export { isNoSpace } from "./files/no-space.ts";
export { findLayout, MissingBuildFiles } from "./factory/layout.ts";
export { parseNamePattern, readName, type NamePattern } from "./factory/forced/name-patterns.ts";
export {
  familiarName,
  fullName,
  InvalidReference,
  parseReference,
  taggableName,
  tryReference,
  type Reference,
} from "./image/reference.ts";
export { MAX_MANIFEST } from "./image/manifest.ts";
export { IMAGE_NAME, REF_NAME } from "./image/oci/oci-layout.ts";
export { formatPlatform, parsePlatform } from "./image/platform.ts";
export { bytes, duration, oneLine } from "./output/describe.ts";
export { Failure, messageOf } from "./output/errors.ts";
export { ConnectionLimiter } from "./registry/connection-limiter.ts";
export { basicAuth, isAuthorized } from "./registry/password.ts";
export { holdLock, withLock, type HeldLock } from "./run/lock.ts";
export { newRunId } from "./run/run-id.ts";
export { removeDeadSpools } from "./run/spool-folder.ts";
export { parseAge, parseSize } from "./commands/options/option-values.ts";
export { InvalidValue, type OptionDefinition } from "./commands/options/command-definition.ts";
export { VERSION } from "./version.ts";
export { coalesce } from "./streams/coalesce.ts";
export { abortable } from "./streams/abortable.ts";
export { stallTimer } from "./streams/stall-timer.ts";
export { deadline } from "./streams/deadline.ts";
