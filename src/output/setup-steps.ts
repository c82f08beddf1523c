/** The steps of `setup` and `prune`, as codes, and in words. */

const THINGS = {
  launcher: "the launcher",
  bundle: "docker-over-ssh itself in",
  cache: "the cache folder",
  file: "the file",
  context: "the stored build context",
  spool: "the spool",
  node: "the folder with Node",
  container: "the container",
  volume: "the volume",
  image: "the image",
} as const;

const DONE = {
  written: "wrote",
  present: "already present:",
  removed: "removed",
  "would-remove": "would remove",
} as const;

const REASONS = {
  foreign: "setup has not written it",
  link: "it is a link, which docker-over-ssh does not use",
  "in-use": "a running transfer uses it",
  elsewhere: "it may belong to a transfer that runs on another machine",
  yours: "others may use it; `docker rmi` removes it",
  "not-removable": "it cannot be removed",
} as const;

/** The kind of thing that a step is about. A step also contains its path, ID or name. */
export type SetupThing = keyof typeof THINGS;
export type SetupStep =
  | { did: keyof typeof DONE; what: SetupThing; name: string }
  /** Something is not removed, for a reason. */
  | { did: "left"; reason: LeftReason; what: SetupThing; name: string };
export type LeftReason = keyof typeof REASONS;

/** Parses the words of a step, which the remote side has written; returns undefined if they are invalid. */
export function parseSetupStep(words: string): SetupStep | undefined {
  const [did = "", ...all] = words.split(" ");
  const reason = did === "left" ? (all.shift() ?? "") : "";
  const [what = "", ...more] = all;
  const name = more.join(" ");
  if (!isKeyOf(THINGS, what) || name === "") return undefined;
  if (isKeyOf(DONE, did)) return { did, what, name };
  return did === "left" && isKeyOf(REASONS, reason) ? { did, reason, what, name } : undefined;
}

/** Puts a step into words. */
export function setupStepText(step: SetupStep): string {
  const thing = `${THINGS[step.what]} ${step.name}`;
  return step.did === "left" ? `left ${thing}: ${REASONS[step.reason]}` : `${DONE[step.did]} ${thing}`;
}

function isKeyOf<T extends object>(table: T, key: string): key is Extract<keyof T, string> {
  return Object.hasOwn(table, key);
}
