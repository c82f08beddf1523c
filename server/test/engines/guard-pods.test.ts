import { existsSync, lstatSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { execa } from "execa";
import { describe, expect, test, vi } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { BASE } from "../../../test/engines/build-projects.ts";
import { EngineApi } from "../../src/guard/engine/engine-api.ts";
import { bindSocket, type BoundSocket } from "../../src/guard/sockets/bind-socket.ts";
import { enginePods } from "../../src/guard/tenants/engine-pods.ts";
import { DEFAULTS, follow } from "../unit/guard/tenants/changes-bed.ts";

const SCRIPT = new URL("../../../examples/guard/fake-pod.sh", import.meta.url).pathname;
const waiting = { timeout: 60_000 };

describe.skipIf(why)(`pods of an engine ${why ?? ""}`, () => {
  test("a pod gets its socket, which stays in its place, until it is removed, also while the engine was away", async () => {
    const kubelet = mkdtempSync(join(bed.folder, "kubelet-"));
    const start = async (uid: string, env = {}): Promise<string> => {
      const pod = { KUBELET_DIR: kubelet, POD_UID: uid, DOCKER_HOST: bed.far.host, ...env };
      return (await execa(SCRIPT, ["--stop-timeout", "0", BASE, "sleep", "600"], { env: { ...bed.env, ...pod } }))
        .stdout;
    };
    await using engine = await EngineApi.prepare(bed.far.host, bed.env);
    await using pods = follow(enginePods({ engine, defaults: DEFAULTS, kubelet, firstPause: 50 }));
    await pods.ready;

    const first = await start("pod-1", { CGROUP_PARENT: "/guard-pods" });
    await start("pod-read-only", { MOUNT_OPTIONS: "ro" });
    const second = await start("pod-2");
    await vi.waitFor(() => expect([...pods.seats.keys()].toSorted()).toEqual(["pod-1", "pod-2"]), waiting);
    const seat = pods.seats.get("pod-1");
    if (seat === undefined) throw new Error("it has come");
    expect(seat.tenant.resources.cgroupParent).toBe("/guard-pods");

    const options = { onProblem: () => {}, signal: new AbortController().signal };
    await using socket: BoundSocket = await bindSocket(seat, (connection) => connection.end("hello"), options);
    await bed.far.docker("exec", first, "test", "-S", "/var/run/docker/docker.sock");
    await bed.far.docker("exec", first, "ln", "-sf", "/etc/passwd", "/var/run/docker/docker.sock");
    await vi.waitFor(() => expect(lstatSync(seat.socket).isSocket()).toBe(true), waiting);
    symlinkSync(dirname(seat.socket), join(kubelet, "s")); // the path is longer than the address of a socket may be
    expect(await text(connect(join(kubelet, "s/docker.sock")))).toBe("hello");
    await socket.close();
    expect(existsSync(seat.socket)).toBe(false);

    await bed.far.docker("rm", "-f", first);
    await vi.waitFor(() => expect(pods.told).toContain("--pod-1"), waiting);
    await bed.far.stop();
    await bed.far.start();
    await bed.far.docker("rm", "-f", second);
    await vi.waitFor(() => expect(pods.told).toContain("--pod-2"), waiting);
    expect(pods.told.join("\n")).not.toContain("+pod-read-only");
    const rest = await bed.far.docker("ps", "-aq", "--filter", "label=io.kubernetes.pod.uid");
    await bed.far.docker("rm", "-f", ...rest.stdout.split("\n"));
    rmSync(kubelet, { recursive: true });
  });
});
