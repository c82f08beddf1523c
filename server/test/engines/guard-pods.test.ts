import { existsSync, lstatSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { execa } from "execa";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { bed, why } from "../../../test/engines/bed.ts";
import { importBase } from "../../../test/testbed/build-base.ts";
import { EngineApi } from "../../src/guard/engine/engine-api.ts";
import { bindSocket, type BoundSocket } from "../../src/guard/sockets/bind-socket.ts";
import { enginePods } from "../../src/guard/tenants/engine-pods.ts";
import { kubeletPods } from "../../src/guard/tenants/kubelet-pods.ts";
import { emptyDirOf, removeFakePods, shortPath, startFakePod } from "../fixtures/guard/fake-pod.ts";
import { DEFAULTS, follow } from "../unit/guard/tenants/changes-bed.ts";

const waiting = { timeout: 60_000 };

describe.skipIf(why)(`pods of an engine ${why ?? ""}`, () => {
  test("a pod gets its socket, which stays in place until the pod is removed, even while the engine is unavailable", async () => {
    const kubelet = mkdtempSync(join(bed.folder, "kubelet-"));
    onTestFinished(() => rmSync(kubelet, { recursive: true }));
    const start = async (uid: string, env = {}): Promise<string> => await startFakePod(bed.far, { kubelet, uid, env });
    await importBase(bed.far);
    await using engine = await EngineApi.prepare(bed.far.host, bed.env);
    await using pods = follow(enginePods({ engine, defaults: DEFAULTS, kubelet, firstPause: 50 }));
    await pods.ready;

    const inMemory = emptyDirOf(kubelet, "pod-in-memory");
    await execa("mount", ["-t", "tmpfs", "tmpfs", inMemory]);
    onTestFinished(async () => void (await execa("umount", [inMemory])));
    const third = await start("pod-in-memory");
    const first = await start("pod-1", { CGROUP_PARENT: "/guard-pods" });
    await start("pod-read-only", { MOUNT_OPTIONS: "ro" });
    const second = await start("pod-2");
    const uids = ["pod-1", "pod-2", "pod-in-memory"];
    await vi.waitFor(() => expect([...pods.endpoints.keys()].toSorted()).toEqual(uids), waiting);
    const endpoint = pods.endpoints.get("pod-1");
    if (endpoint === undefined) throw new Error("it has come");
    expect(endpoint.tenant.resources.cgroupParent).toBe("/guard-pods");

    const options = { onProblem: () => {}, signal: new AbortController().signal };
    await using socket: BoundSocket = await bindSocket(endpoint, (connection) => connection.end("hello"), options);
    await bed.far.docker("exec", first, "test", "-S", "/var/run/docker/docker.sock");
    await bed.far.docker("exec", first, "ln", "-sf", "/etc/passwd", "/var/run/docker/docker.sock");
    await vi.waitFor(() => expect(lstatSync(endpoint.socket).isSocket()).toBe(true), waiting);
    expect(await text(connect(shortPath(kubelet, "pod-1")))).toBe("hello");
    await socket.close();
    expect(existsSync(endpoint.socket)).toBe(false);

    // The kubelet cannot unmount an emptyDir with an open socket: the guard removes the socket when the containers end.
    await bed.far.docker("stop", third);
    // By the event of its end, and not by the list that is requested every 30 s
    await vi.waitFor(() => expect(pods.reports).toContain("-pod-in-memory"), { timeout: 20_000 });
    const volume = "docker-socket";
    await using others = follow(kubeletPods({ folder: kubelet, volume, defaults: DEFAULTS, server: undefined }));
    await others.ready;
    expect(others.reports.filter((line) => line.includes("pod-in-memory"))).toEqual([
      expect.stringMatching(/^!the pod pod-in-memory gets no socket: .* is in memory/),
    ]);

    await bed.far.docker("rm", "-f", first);
    await vi.waitFor(() => expect(pods.reports).toContain("--pod-1"), waiting);
    await bed.far.stop();
    await bed.far.start();
    await bed.far.docker("rm", "-f", second);
    await vi.waitFor(() => expect(pods.reports).toContain("--pod-2"), waiting);
    expect(pods.reports.join("\n")).not.toContain("+pod-read-only");
    await removeFakePods(bed.far);
  });
});
