import { parseImageName, type ImageName } from "../../image/image-name.ts";
import { InvalidLocation, parseLocation, type ImageLocation } from "../../image/location.ts";
import { InvalidReference, parseReference, type Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";

/** Parses a reference. Throws a `usage` Failure. */
export function readReference(given: string): Reference {
  return asUsage(() => parseReference(given));
}

/** Parses a reference or an image ID. Throws a `usage` Failure. */
export function readImageName(given: string): ImageName {
  return asUsage(() => parseImageName(given));
}

function asUsage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InvalidReference)) throw error;
    throw new Failure("usage", error.message, {
      expected: "NAME[:TAG], optionally with the host of a registry in front",
      hint: "For instance app:v2 or registry.example.com/team/app:v2.",
      cause: error,
    });
  }
}

/** Parses a location; returns undefined for the name of an image. Throws a `usage` Failure. */
export function readLocation(given: string): ImageLocation | undefined {
  try {
    return parseLocation(given);
  } catch (error) {
    if (!(error instanceof InvalidLocation)) throw error;
    throw new Failure("usage", error.message, {
      expected: "docker-archive:FILE, oci:FOLDER or oci-archive:FILE, optionally followed by :NAME",
      hint: "For instance docker-archive:app.tar or oci:./layout:v2.",
      cause: error,
    });
  }
}

/** Returns the Failure for an ID, which cannot be the name of an image at the receiver. */
export function withoutName(image: string): Failure {
  return new Failure("usage", `${image} is an image ID, but the image needs a name at the receiver`, {
    expected: "--as NAME",
    hint: `For instance --as app:v2 ${image}`,
  });
}

/** Throws a `usage` Failure for the first given option: these are for an engine, but the location is a file or a folder. */
export function refuseEngineOptions(location: ImageLocation, options: Record<string, string | undefined>): void {
  const option = Object.keys(options).find((name) => options[name] !== undefined);
  if (option === undefined) return;
  throw new Failure("usage", `${option} is for an engine, but ${location.given} is a file or a folder`, {
    expected: `an image in an engine, or no ${option}`,
    hint: `Omit ${option}.`,
  });
}
