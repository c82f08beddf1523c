import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import type { BuildContext } from "../../build-context/build-context.ts";

export function writeContextTar(context: BuildContext, signal: AbortSignal): Readable {
  const tar = pack();
  const latin = (t: string) => Buffer.from(t, "latin1").toString("utf8");
  void (async () => {
    for (const entry of context.entries) {
      const base = { name: latin(entry.path), mode: entry.mode, mtime: new Date(entry.mtime / 1000), uid: 0, gid: 0 };
      if (entry.kind === "file")
        await pipeline(
          Readable.from(context.read(entry, signal)),
          tar.entry({ ...base, size: entry.size, type: "file" }),
        );
      else if (entry.kind === "folder") tar.entry({ ...base, type: "directory" });
      else tar.entry({ ...base, type: entry.kind === "symlink" ? "symlink" : "link", linkname: latin(entry.target) });
    }
    tar.finalize();
  })().catch((e) => tar.destroy(e));
  return Readable.from(tar as AsyncIterable<Buffer>, { objectMode: false });
}
