/** The steps of `setup` and `prune`, as codes, and in words. */

const THINGS = {
  launcher: "the launcher",
  bundle: "docker-over-ssh itself in",
  cache: "the cache folder",
  file: "the file",
  context: "the kept build context",
  spool: "the spool",
  node: "the folder with Node",
  container: "the container",
  volume: "the volume",
  image: "the image",
} as const;

const DONE = {
  written: "wrote",
  present: "there already:",
  removed: "removed",
  "would-remove": "would remove",
} as const;

const REASONS = {
  foreign: "setup has not written it",
  link: "it is a link, which docker-over-ssh does not use",
  "in-use": "a transfer that runs uses it",
  elsewhere: "it may belong to a transfer that another machine runs",
  yours: "others may use it; `docker rmi` removes it",
  "not-removable": "it cannot be removed",
} as const;

/** What setup is about: a path, an ID or a name goes with it. */
export type SetupThing = keyof typeof THINGS;
export type SetupStep =
  | { did: keyof typeof DONE; what: SetupThing; name: string }
  /** Something stays there, for a reason. */
  | { did: "left"; reason: LeftReason; what: SetupThing; name: string };
export type LeftReason = keyof typeof REASONS;

/** Makes a step of its words, which the remote side has written; undefined for others. */
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
