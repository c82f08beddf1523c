import { bytes, duration } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

export function tooManyBuilds(allowed: number): Refusal {
  return new Refusal(
    "quota.builds",
    `${allowed === 1 ? "one build runs" : `${allowed} builds run`} already: wait for one to end`,
    {
      statusCode: 429,
    },
  );
}

/** @param more the time at which the oldest hour stops counting, ms since 1970 */
export function noBuildTime(allowed: number, more: number): Refusal {
  return new Refusal(
    "quota.build-time",
    `this tenant has used up its build time for 24 hours (${duration(allowed)}): more is available at ${clock(more)}`,
    { statusCode: 429, retryAfter: secondsUntil(more) },
  );
}

/** @param more the time at which the oldest hour stops counting, ms since 1970 */
export function noPushBytes(allowed: number, more: number): Refusal {
  return new Refusal(
    "quota.push-bytes",
    `this tenant has pushed all bytes that it may push in 24 hours (${bytes(allowed)}): more is available at ${clock(more)}`,
    { statusCode: 429, retryAfter: secondsUntil(more) },
  );
}

export function tooManyImages(has: number, allowed: number): Refusal {
  return new Refusal(
    "quota.images",
    `this would make ${has} images, and ${allowed} are allowed: remove some with docker rmi`,
  );
}

export function tooManyBytes(has: number, allowed: number): Refusal {
  return new Refusal(
    "quota.bytes",
    `images would take ${bytes(has)}, and ${bytes(allowed)} are allowed: remove some with docker rmi, or build smaller ones`,
  );
}

export function contextTooLarge(allowed: number): Refusal {
  return new Refusal(
    "context.size",
    `the context is larger than the allowed ${allowed} bytes: list files that the build does not need in .dockerignore`,
    { statusCode: 413 },
  );
}

function secondsUntil(time: number): number {
  return Math.max(1, Math.ceil((time - Date.now()) / 1000));
}

function clock(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
