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

/** Of BuildKit's sourcepolicy */
const DENIED = /source "([a-z-]+:\/\/)([^"]+)" denied by policy/;

/**
 * Returns the Refusal for an error that the source policy has caused, or the want of one, in the words of the same rule; undefined for other errors.
 */
export function refusedSource(
  error: unknown,
  policy: Policy,
  { own, support }: Pick<RunningBuild, "own" | "support">,
): Refusal | undefined {
  const message = messageOf(error);
  if (!support.hasSourcePolicies) return missingOwn(message, own) ?? untold(error, policy);
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

/** Errors that the frontend has before it looks at an image, at the beginning of the message: what follows later can be words of an image. */
const BEFORE_IMAGES =
  /^(?:(?:rpc error: code = \w+ desc = |failed to solve with frontend dockerfile\.v0: |failed to create LLB definition: )*)(?:dockerfile parse error|failed to read dockerfile|failed to parse stage name|target stage |the dockerfile cannot be empty|unsupported frontend capability)/i;

/**
 * An old engine reads the config of any image that a Dockerfile names, also of another tenant, before its steps can be checked: an error can tell what is
 * in it (`EXPOSE $SECRET`), or whether it is there.
 */
function untold(error: unknown, policy: Policy): Refusal | undefined {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.Canceled || BEFORE_IMAGES.test(rawMessage)) return undefined;
  return baseUntold(policy);
}

/** The one answer of an old engine about bases that may not be used: whether they are there or not. */
export function baseUntold({ bases, pulls }: Policy): Refusal {
  const allowed = ["images built here", ...bases, ...pulls].join(", ");
  return new Refusal(
    "base.untold",
    `the Dockerfile names what is not a base that may be used here (${allowed}), or cannot be built: this engine's BuildKit would tell of images of others, so see what the classic builder says (DOCKER_BUILDKIT=0)`,
  );
}

/** An old engine looks for the tenant's own image in the registry of its name. */
function missingOwn(message: string, { byName }: OwnBases): Refusal | undefined {
  const asked = [...byName.keys()].find((name) => {
    const [, path = "", tag = ""] = /^[^/]+\/(.+):([^:]+)$/.exec(name) ?? [];
    return message.includes(`/${path}/manifests/${tag}`) || message.includes(name);
  });
  return asked === undefined ? undefined : ownUnsupported(asked);
}
