import { Code, ConnectError } from "@connectrpc/connect";
import { messageOf, tryReference } from "docker-over-ssh/builds";
import { checkSource } from "../policy/sources.ts";
import { GUARD_HOST } from "../images/names.ts";
import { ownUnsupported } from "./check-bases.ts";
import { originOf } from "../policy/bases.ts";
import { refuseAddressOf } from "../policy/registry-host.ts";
import { Refusal } from "../refusal.ts";
import type { OwnBases } from "./own-bases.ts";
import type { RunningBuild } from "./builds.ts";
import type { Policy } from "../policy/policy.ts";

/** The error of BuildKit's `sourcepolicy` */
const DENIED = /source "([a-z-]+:\/\/)([^"]+)" denied by policy/;

/**
 * Returns the Refusal for an error that the source policy has caused, with the message of the rule that denies the source. On an old engine, it does so for
 * an error that the lack of a source policy has caused. Returns undefined for other errors.
 */
export function refusedSource(
  error: unknown,
  policy: Policy,
  { own, support }: Pick<RunningBuild, "own" | "support">,
): Refusal | undefined {
  const message = messageOf(error);
  if (!support.hasSourcePolicies) return missingOwn(message, own) ?? undisclosed(error, policy);
  const [, scheme = "", rest = ""] = DENIED.exec(message) ?? [];
  if (scheme === "") return undefined;
  const reference = scheme === "docker-image://" ? tryReference(rest) : undefined;
  try {
    if (reference === undefined) checkSource(`${scheme.replace("git:", "https:")}${rest}`, policy);
    else if (reference.domain !== GUARD_HOST) {
      originOf({ ...reference, given: rest }, policy, false);
      refuseAddressOf(reference, []);
    }
  } catch (refusal) {
    if (refusal instanceof Refusal) return refusal;
    throw refusal;
  }
  return new Refusal("base.refused", `"${rest}" is not a base that may be used here`);
}

/** Beginnings of errors that occur before the frontend reads an image. Later errors may quote the config of an image. */
const BEFORE_IMAGES =
  /^(?:(?:rpc error: code = \w+ desc = |failed to solve with frontend dockerfile\.v0: |failed to create LLB definition: )*)(?:dockerfile parse error|failed to read dockerfile|failed to parse stage name|target stage |the dockerfile cannot be empty|unsupported frontend capability)/i;

/**
 * Replaces an error of an old engine. Such an engine reads the config of any image that a Dockerfile names, even another tenant's, before its steps can be
 * checked. Its error may disclose the content of the config (`EXPOSE $SECRET`), or that the image exists.
 */
function undisclosed(error: unknown, policy: Policy): Refusal | undefined {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.Canceled || BEFORE_IMAGES.test(rawMessage)) return undefined;
  return undisclosedBase(policy);
}

/** Returns the only answer that an old engine's tenant gets about bases that may not be used. It does not disclose whether they exist. */
export function undisclosedBase({ bases, pulls }: Policy): Refusal {
  const allowed = ["images built here", ...bases, ...pulls].join(", ");
  return new Refusal(
    "base.undisclosed",
    `the Dockerfile uses a base that may not be used here (${allowed} may), or it cannot be built. This engine's BuildKit is too old to say which without disclosing images of others: the classic builder gives the reason (DOCKER_BUILDKIT=0)`,
  );
}

/** Returns the Refusal for an own image that an old engine did not find, because it looks for it in the registry that the name contains. */
function missingOwn(message: string, { byName }: OwnBases): Refusal | undefined {
  const missing = [...byName.keys()].find((name) => {
    const [, path = "", tag = ""] = /^[^/]+\/(.+):([^:]+)$/.exec(name) ?? [];
    return message.includes(`/${path}/manifests/${tag}`) || message.includes(name);
  });
  return missing === undefined ? undefined : ownUnsupported(missing);
}
