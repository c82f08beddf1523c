import { Type } from "typebox";
import type { Client } from "../../access/client.ts";
import { isJobId, JOB_STATES, type Job, type JobState } from "../../jobs/job.ts";
import type { JobStore } from "../../store/job-store.ts";
import type { AppContext, TypedApp } from "./app-context.ts";
import { clientOf, visibleJob } from "../http/auth.ts";
import { BUILDS, deliveryView, jobView, rfc3339 } from "../shapes/job-view.ts";
import { ProblemError } from "../http/problem.ts";
import {
  DeliveriesSchema,
  JobListSchema,
  JobSchema,
  ListQuerySchema,
  PROBLEMS,
  type JobView,
} from "../shapes/schemas.ts";

const MAX_PAGE = 200;
const PAGE_SIZE = 50;
export const jobParams = Type.Object({ id: Type.String({ description: "ID of the build" }) });
const tags = ["builds"];

/**
 * Returns a job that the client may see. Throws ProblemError 404 for any other text, including one that is not an ID:
 * the ID may become part of a path.
 */
export async function findJob(store: Pick<JobStore, "get">, client: Client, id: string): Promise<Job> {
  return visibleJob(client, isJobId(id) ? await store.get(id) : undefined);
}

/**
 * Returns the error for an unknown cursor. Returning the first page instead would let a client that reads all pages
 * loop for ever.
 */
function wrongCursor(): ProblemError {
  const errors = [{ field: "cursor", message: "must be that of the previous page" }];
  return new ProblemError(400, "invalid", "The query is not valid.", { errors });
}

/** Adds the routes of accepted jobs, except their logs. */
export function addBuildRoutes(app: TypedApp, context: AppContext): void {
  const { store } = context;

  app.route({
    method: "GET",
    url: BUILDS,
    config: { scope: "read" },
    schema: {
      summary: "List builds",
      description: "Lists one's own builds, or all builds with the scope `admin`.",
      tags,
      querystring: ListQuerySchema,
      response: { 200: JobListSchema, ...PROBLEMS },
    },
    handler: async (request) => {
      const { name, status, cursor, limit } = request.query;
      const { name: owner, scopes } = clientOf(request);
      if (cursor !== undefined && !isJobId(cursor)) throw wrongCursor();
      const page = await store.list({
        ...(status !== undefined && { states: readStates(status) }),
        ...(name !== undefined && { name }),
        ...(!scopes.has("admin") && { owner }),
        ...(cursor !== undefined && { cursor }),
        limit: Math.min(limit === undefined ? PAGE_SIZE : Number(limit), MAX_PAGE),
      });
      return {
        builds: await Promise.all(page.jobs.map((job) => viewWithPosition(store, job))),
        ...(page.cursor !== undefined && { cursor: page.cursor }),
      };
    },
  });

  app.get(
    `${BUILDS}/:id`,
    {
      config: { scope: "read" },
      schema: { summary: "Get a build", tags, params: jobParams, response: { 200: JobSchema, ...PROBLEMS } },
    },
    async (request) => {
      const job = await findJob(store, clientOf(request), request.params.id);
      return await viewWithPosition(store, job);
    },
  );

  app.post(
    `${BUILDS}/:id/cancel`,
    {
      config: { scope: "build" },
      schema: {
        summary: "Cancel a build",
        description: "Has no effect on a build that is over or already cancelled.",
        tags,
        params: jobParams,
        response: { 200: JobSchema, ...PROBLEMS },
      },
    },
    async (request) => {
      const client = clientOf(request);
      const { id } = await findJob(store, client, request.params.id);
      return jobView(visibleJob(client, await store.cancel(id)));
    },
  );

  app.get(
    `${BUILDS}/:id/deliveries`,
    {
      config: { scope: "read" },
      schema: {
        summary: "List the attempts to deliver a build's webhook",
        tags,
        params: jobParams,
        response: { 200: DeliveriesSchema, ...PROBLEMS },
      },
    },
    async (request) => {
      const { webhook } = await findJob(store, clientOf(request), request.params.id);
      if (webhook === undefined) return { deliveries: [] };
      const { url, deliveries, nextAt } = webhook;
      return {
        url,
        deliveries: deliveries.map(deliveryView),
        ...(nextAt !== undefined && { nextAt: rfc3339(nextAt) }),
      };
    },
  );
}

function readStates(given: string | readonly string[]): readonly JobState[] {
  const names = [given].flat().flatMap((part) => part.split(","));
  const states = JOB_STATES.filter((state) => names.includes(state));
  if (names.every((name) => states.some((state) => state === name))) return states;
  const errors = [{ field: "status", message: `must be one or more of ${JOB_STATES.join(", ")}` }];
  throw new ProblemError(400, "invalid", "The query is not valid.", { errors });
}

/** Returns the view of a job for clients. A queued job includes its position. */
async function viewWithPosition(store: Pick<JobStore, "position">, job: Job): Promise<JobView> {
  return jobView(job, { position: job.state === "queued" ? await store.position(job.id) : undefined });
}
