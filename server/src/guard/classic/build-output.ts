import type { ApiObject } from "../backend.ts";
import { withTenantNames } from "../images/names.ts";

/** Parses the lines of a build. */
export interface BuildOutput {
  /** Accepts a line of the engine. Passes on its known properties, with the tenant's names. */
  take(line: unknown): void;
  /** IDs of the built stages, in their order. Only the engine sends them; the output of RUN is in `stream`. */
  readonly built: readonly string[];
  /** Beginnings of the IDs that the engine has printed for steps. RUN may print others */
  readonly printed: ReadonlySet<string>;
  /** The engine's error, with the tenant's names */
  readonly failure: { message: string; code: number | undefined } | undefined;
}

/** `Step 2/5 : RUN make` */
const STEP = /^Step (\d+)\/(\d+) : /;
/** ` ---> 0123456789ab` */
const STEP_IMAGE = /^ ---> ([0-9a-f]{12})\n?$/;
/** Maximum IDs that are stored, because RUN may print any number of them */
const MAX_PRINTED = 100_000;
/** The guard writes these lines itself, after it has recorded the image as the tenant's */
const SUCCESS = /^Successfully (?:built|tagged) /;

/**
 * @param steps returns the tenant's text of each step, or undefined for a step that the guard has added. The texts may be unknown until the build begins
 * @param onLine gets all lines except the failure
 */
export function buildOutput(
  tenant: string,
  steps: () => readonly (string | undefined)[],
  onLine: (line: ApiObject) => void,
): BuildOutput {
  const built: string[] = [];
  const printed = new Set<string>();
  let failure: BuildOutput["failure"];
  let next = 1;
  /** Whether the guard has added this step, whose output is not shown */
  let isHidden = false;

  const stream = (text: string): void => {
    const [matched, number, of] = STEP.exec(text) ?? [];
    const all = steps();
    if (matched !== undefined && Number(number) === next && Number(of) === all.length) {
      const shown = all[next - 1];
      isHidden = shown === undefined;
      const index = all.slice(0, next).filter((step) => step !== undefined).length;
      const count = all.filter((step) => step !== undefined).length;
      next++;
      if (!isHidden) onLine({ stream: `Step ${index}/${count} : ${shown ?? ""}` });
      return;
    }
    const image = STEP_IMAGE.exec(text)?.[1];
    if (image !== undefined && printed.size < MAX_PRINTED) printed.add(image);
    if (!isHidden && !SUCCESS.test(text)) onLine({ stream: withTenantNames(tenant, text) });
  };

  return {
    built,
    printed,
    get failure() {
      return failure;
    },
    take(line) {
      if (typeof line !== "object" || line === null) return;
      const {
        stream: text,
        aux,
        error,
        errorDetail,
        status,
        id,
        progress,
        progressDetail,
      } = line as Record<string, unknown>;
      if (typeof error === "string") failure ??= { message: withTenantNames(tenant, error), code: codeOf(errorDetail) };
      else if (typeof text === "string") stream(text);
      else if (isImageId(aux)) built.push(aux.ID);
      // The progress of ADD from an address
      else if (typeof status === "string")
        onLine({ status: withTenantNames(tenant, status), id, progress, progressDetail });
    },
  };
}

function isImageId(aux: unknown): aux is { ID: string } {
  return typeof aux === "object" && aux !== null && "ID" in aux && /^sha256:[0-9a-f]{64}$/.test(String(aux.ID));
}

function codeOf(detail: unknown): number | undefined {
  return typeof detail === "object" && detail !== null && "code" in detail && Number.isInteger(detail.code)
    ? Number(detail.code)
    : undefined;
}
