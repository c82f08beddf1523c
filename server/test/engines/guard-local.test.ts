import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE, importBase } from "../../../test/testbed/build-base.ts";
import { startGuard } from "../fixtures/guard/guard-process.ts";
import { contextIn, tenantCli } from "../fixtures/guard/tenant-cli.ts";

const done = { exitCode: 0 };

/**
 * Files below volumes, created before and after the declaration of the volume, in steps of each kind. One volume is
 * inside another.
 */
const WITH_VOLUMES = {
  Dockerfile: `FROM ${BASE}
RUN mkdir -p /one/deep && echo before > /one/before
VOLUME ["/one", "/one/deep/two", "/three"]
ADD added /one/deep/two/added
RUN echo after > /one/after; mkdir -p /three; echo after > /three/after; touch /four
CMD for file in $(find /one /three /four -type f | sort); do echo "$file: $(cat $file)"; done
`,
  added: "added\n",
};

describe.skipIf(why)(`guard --bind-local ${why ?? ""}`, () => {
  // The way to try image-build-daemon out: no option names a base.
  test("docker builds a Dockerfile with volumes at the folder's socket with the same result as at the engine", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dos-guard-"));
    await importBase(bed.near);
    {
      await using guard = await startGuard(folder, ["-H", bed.near.host, `--bind-local=${folder}/socket`], bed.env);
      expect(guard.printed.join("\n")).toContain("the tenant local may use any image as a base");
      const docker = await tenantCli(bed.near, { socket: join(folder, "socket/docker.sock"), folder });
      const atEngine = await tenantCli(bed.near, { socket: bed.near.description.socket, folder });
      const files = contextIn(folder, WITH_VOLUMES);
      for (const builder of ["classic", "buildkit"] as const) {
        const words = ["build", "-t", `volumes:${builder}`, files];
        const built = await Promise.all([docker, atEngine].map((cli) => cli(words, { builder })));
        expect(built).toMatchObject([done, done]);
        const names = [`guard.internal/local/docker.io/library/volumes:${builder}`, `volumes:${builder}`];
        const [own, engines] = await Promise.all(names.map((name) => bed.near.docker("run", "--rm", name)));
        expect(own?.stdout).toBe(engines?.stdout);
        expect(own?.stdout).toContain("/one/before: before");
        expect(own?.stdout).toContain("/one/deep/two/added: added");
        await bed.near.docker("rmi", `volumes:${builder}`);
      }
      expect((await docker(["images", "--format", "{{.Repository}}:{{.Tag}}"])).stdout.split("\n").toSorted()).toEqual([
        "volumes:buildkit",
        "volumes:classic",
      ]);
      expect((await docker(["run", "volumes:classic"])).stderr).toContain("/containers/create is not allowed here");
      expect(await docker(["rmi", "volumes:classic", "volumes:buildkit"])).toMatchObject(done);
      expect(await guard.end("SIGTERM")).toEqual(done);
    }
    rmSync(folder, { recursive: true });
  });
});
