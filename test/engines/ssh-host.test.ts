import { describe, expect, test } from "vitest";
import { done, dos, why } from "./bed.ts";
import { connections, env } from "./engine-only-images.ts";

describe.skipIf(why)("ssh://HOST", () => {
  test.each(["push", "pull"])("%s: uses docker-over-ssh where it is installed", async (verb) => {
    const run = await dos([verb, "--verbose", "engine-only:v1", "ssh://far"], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("remote side: docker-over-ssh on ssh://far\n");
    expect(connections()).toBe(1);
  });

  test.each(["push", "pull"])(
    "%s: uses the engine alone where it is not installed, with a note, whatever the login shell prints",
    async (verb) => {
      const run = await dos([verb, "engine-only:v1", "ssh://root@bare"], { env });
      expect(run).toEqual(done);
      expect(run.stderr).toContain(
        "remote side: docker system dial-stdio (the engine of bare alone: layers are sent whole)\n",
      );
      expect(connections()).toBe(1);
      const quiet = await dos([verb, "--quiet", "engine-only:v1", "ssh://bare"], { env });
      expect(quiet).toEqual({ ...done, stderr: "" });
    },
  );

  test.each(["push", "pull"])("%s: uses the Node of the host if docker-over-ssh is not installed", async (verb) => {
    const run = await dos([verb, "--verbose", "engine-only:v1", "ssh://with-node"], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("remote side: installed cannot be used: not found\n");
    expect(run.stderr).toContain("remote side: docker-over-ssh on ssh://with-node, sent to the Node there\n");
    expect(connections()).toBe(1);
  });

  test("finds docker-over-ssh behind a login shell that prints", async () => {
    expect(await dos(["push", "engine-only:v1", "ssh://noisy"], { env })).toEqual(done);
  });

  test("doctor finds the program that a transfer would use", async () => {
    const run = await dos(["doctor", "ssh://with-node"], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^ok +here +engine +Docker .* store, linux\//m);
    expect(run.stderr).toMatch(/^ok +there +engine /m);
    expect(run.stderr).toMatch(/^ok +there +program +the Node there, to which this docker-over-ssh is sent/m);
    const unknown = await dos(["doctor", "ssh://nowhere.invalid"], { env });
    expect(unknown).toMatchObject({ exitCode: 4 });
  });

  test("reports an unknown host", async () => {
    const run = await dos(["push", "engine-only:v1", "ssh://nowhere.invalid"], { env });
    expect(run).toMatchObject({ exitCode: 4 });
    expect(run.stderr).toMatch(/^remote: ssh: Could not resolve hostname nowhere\.invalid/m);
    expect(run.stderr).toContain("Try `ssh nowhere.invalid docker version`");
  });
});
