import { Type, type Static } from "typebox";
import { JOB_STATES } from "../../jobs/job.ts";

/**
 * The schemas of v2's requests and responses. The OpenAPI document is generated from them; requests with other fields
 * are rejected.
 */

const text = (description: string, maxLength = 4096) => Type.String({ description, maxLength });
const strict = { additionalProperties: false };

export const CredentialsSchema = Type.Object(
  { username: Type.String({ maxLength: 1024 }), password: Type.String({ maxLength: 65_536 }) },
  {
    ...strict,
    title: "Credentials",
    description: "Credentials for the registry in the name. Kept in memory or encrypted, and never shown.",
  },
);

/** Fields that may also be in the query of a plain archive, as text */
const choices = {
  name: Type.String({ description: "The image's name: `[HOST/]PATH[:TAG]`", minLength: 1, maxLength: 512 }),
  file: Type.Optional(text("Path of the Dockerfile in the archive. Default: `Dockerfile`")),
  target: Type.Optional(text("Stage to build", 256)),
  platform: Type.Optional(text("`OS/ARCH[/VARIANT]`", 256)),
  network: Type.Optional(Type.Enum(["default", "none", "host"], { description: "Network of the build's steps" })),
};

export const BuildSchema = Type.Object(
  {
    ...choices,
    dockerfile: Type.Optional(Type.String({ description: "Text of a Dockerfile that needs no files", minLength: 1 })),
    archiveUrl: Type.Optional(text("http or https address of an archive (tar, compressed or not, or zip)", 2048)),
    strip: Type.Optional(
      Type.Integer({ description: "Number of leading folders to remove from each path", minimum: 0, maximum: 100 }),
    ),
    buildArgs: Type.Optional(
      Type.Record(Type.String(), Type.String({ maxLength: 65_536 }), {
        description: "Shown by the API: not for secrets",
      }),
    ),
    labels: Type.Optional(Type.Record(Type.String(), Type.String({ maxLength: 65_536 }))),
    noCache: Type.Optional(Type.Boolean({ description: "Build all steps without the cache" })),
    pull: Type.Optional(Type.Boolean({ description: "Pull newer bases" })),
    push: Type.Optional(Type.Boolean({ description: "Push the image to the registry. Default: true" })),
    purge: Type.Optional(
      Type.Boolean({ description: "Remove the image from the engine at the end. Default: the value of `push`" }),
    ),
    credentials: Type.Optional(CredentialsSchema),
    webhook: Type.Optional(
      Type.Object({ url: text("http or https address that is called when the build is over", 2048) }, strict),
    ),
  },
  {
    ...strict,
    title: "NewBuild",
    description: "A build. It needs exactly one of dockerfile, archiveUrl and an archive in the body",
  },
);
export type BuildRequest = Static<typeof BuildSchema>;

const flag = () => Type.Optional(Type.Enum(["true", "false"]));
const pairs = (description: string) =>
  Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 200 })], {
      description: `${description}: NAME=VALUE, may be repeated`,
    }),
  );

/** The query of a plain archive. Credentials are sent in the header X-Registry-Auth, because proxies log queries. */
export const BuildQuerySchema = Type.Object(
  {
    ...choices,
    name: Type.Optional(choices.name),
    strip: Type.Optional(Type.String({ pattern: "^[0-9]{1,2}$" })),
    buildArg: pairs("A build argument"),
    label: pairs("A label"),
    noCache: flag(),
    pull: flag(),
    push: flag(),
    purge: flag(),
    webhook: Type.Optional(text("http or https address that is called when the build is over", 2048)),
  },
  { ...strict, description: "Only for a plain archive in the body" },
);
export type BuildQuery = Static<typeof BuildQuerySchema>;

/** Streamed: the validator does not check such a body, and sees null. */
export const MultipartSchema = Type.Unsafe<null>({
  type: ["object", "null"],
  required: ["build"],
  properties: { build: BuildSchema, archive: { contentMediaType: "application/octet-stream" } },
});

export const RetrySchema = Type.Union([
  Type.Object({ credentials: Type.Optional(CredentialsSchema) }, { ...strict, description: "Optional" }),
  Type.Null(),
]);

export const ListQuerySchema = Type.Object(
  {
    status: Type.Optional(
      Type.Union([Type.String({ maxLength: 200 }), Type.Array(Type.String({ maxLength: 200 }), { maxItems: 20 })], {
        description: `States, separated by commas: ${JOB_STATES.join(", ")}`,
      }),
    ),
    name: Type.Optional(text("Only builds whose name contains this text", 512)),
    cursor: Type.Optional(
      Type.String({ description: "`cursor` of the previous page", pattern: "^[\\x21-\\x7e]{1,500}$" }),
    ),
    limit: Type.Optional(Type.String({ description: "1 to 200. Default: 50", pattern: "^[1-9][0-9]{0,2}$" })),
  },
  strict,
);

const time = (description: string) => Type.String({ description: `${description} (RFC 3339)` });
const bytes = (description: string) => Type.Integer({ description: `Bytes ${description}` });

export const JobSchema = Type.Object(
  {
    id: Type.String({ description: "A UUID. IDs sort in the order in which builds were accepted" }),
    name: Type.String(),
    fullName: Type.String({ description: "Name with registry and tag" }),
    owner: Type.String({ description: "Name of the token with which the build was submitted" }),
    state: Type.Enum([...JOB_STATES]),
    reason: Type.Optional(
      Type.Object({
        code: Type.String(),
        message: Type.String(),
        expected: Type.Optional(Type.String()),
        hint: Type.Optional(Type.String()),
      }),
    ),
    position: Type.Optional(Type.Integer({ description: "Number of builds that run before this one" })),
    attempts: Type.Integer({ description: "Number of runs that have begun" }),
    source: Type.Object({
      kind: Type.Enum(["dockerfile", "archive", "address"]),
      bytes: Type.Optional(Type.Integer()),
      url: Type.Optional(Type.String()),
    }),
    file: Type.String(),
    strip: Type.Integer(),
    target: Type.Optional(Type.String()),
    platform: Type.Optional(Type.String()),
    buildArgs: Type.Record(Type.String(), Type.String()),
    labels: Type.Record(Type.String(), Type.String()),
    noCache: Type.Boolean(),
    pull: Type.Boolean(),
    push: Type.Boolean(),
    purge: Type.Boolean(),
    limits: Type.Object({
      memory: Type.Optional(bytes("of memory of each step")),
      cpus: Type.Optional(Type.Number()),
      seconds: Type.Optional(Type.Number()),
      network: Type.Optional(Type.String()),
    }),
    hasCredentials: Type.Boolean(),
    retryOf: Type.Optional(Type.String({ description: "Build that this one repeats" })),
    imageId: Type.Optional(Type.String()),
    digest: Type.Optional(Type.String({ description: "Digest of the manifest in the registry" })),
    size: Type.Optional(bytes("of the image's layers")),
    contextBytes: Type.Optional(bytes("of the files in the context")),
    seconds: Type.Record(Type.String(), Type.Number(), {
      description: "Duration of each completed phase: queue, fetch, context, build, push, purge",
    }),
    acceptedAt: time("Time at which the build was accepted"),
    startedAt: Type.Optional(time("Time at which its run began")),
    finishedAt: Type.Optional(time("Time at which it ended")),
    cancelledAt: Type.Optional(time("Time at which its cancellation was requested")),
    worker: Type.Optional(Type.String()),
    engine: Type.Optional(Type.String()),
    webhook: Type.Optional(Type.String()),
    log: Type.Object({ lines: Type.Integer(), bytes: Type.Integer(), isCut: Type.Boolean() }),
    links: Type.Object({
      self: Type.String(),
      logs: Type.String(),
      cancel: Type.String(),
      retry: Type.String(),
      deliveries: Type.String(),
      retryOf: Type.Optional(Type.String()),
    }),
  },
  { title: "Build" },
);
export type JobView = Static<typeof JobSchema>;

export const JobListSchema = Type.Object(
  {
    builds: Type.Array(JobSchema, { description: "Newest first" }),
    cursor: Type.Optional(Type.String({ description: "Cursor of the next page; missing on the last page" })),
  },
  { title: "BuildList" },
);

export const DeliveriesSchema = Type.Object(
  {
    url: Type.Optional(Type.String()),
    deliveries: Type.Array(
      Type.Object({
        at: time("Time of the attempt"),
        status: Type.Optional(Type.Integer({ description: "HTTP status of the response" })),
        error: Type.Optional(Type.String({ description: "Reason why there was no response" })),
        seconds: Type.Number(),
      }),
    ),
    nextAt: Type.Optional(time("Time at which the next attempt is due")),
  },
  { title: "Deliveries" },
);

const ProblemSchema = Type.Object(
  {
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: "Stable: programs may compare it" }),
    detail: Type.String(),
    expected: Type.Optional(Type.String()),
    hint: Type.Optional(Type.String()),
    errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
  },
  { title: "Problem", description: "Problem details (RFC 9457)" },
);

/** The error responses of each route, for its `response`. */
export const PROBLEMS = {
  "4xx": { description: "Refused", content: { "application/problem+json": { schema: ProblemSchema } } },
  "5xx": { description: "Failed", content: { "application/problem+json": { schema: ProblemSchema } } },
};
