import { makeContent } from "../testbed/content.ts";
import { baseFiles } from "../testbed/program-files.ts";
import { fileEntry, tar, type TarEntry } from "../testbed/tar.ts";
import { base256, END, entry, longName, noise, pax, paxSparse } from "../unit/delta/odd-tars.ts";

const MB = 1_000_000;
const LONG = `odd/${"a-folder-of-some-length/".repeat(5)}file`;
const LONGER = `odd/${"another-folder-of-some-length/".repeat(10)}${"x".repeat(200)}`;

/** The changes that a build makes to the files below. Except for times, the result depends only on these files. */
const CHANGES = `set -e
cd /odd
rm gone
rm -r folder && mkdir folder && echo new >folder/new
ln files/000001 hard && ln -s files/000002 soft
chmod 4711 files/000003 && chown 1234:5678 files/000004
mkfifo pipe && mknod device c 1 3
dd if=large of=sparse bs=1000 count=700 seek=2000 2>/dev/null
cat large files/* >joined
touch empty "$(printf 'n%.0s' $(seq 250))"
deep=$(printf 'deep/%.0s' $(seq 70)) && mkdir -p $deep && echo deep >$deep/file
echo latin >"$(printf 'latin-\\374')"
`;

/**
 * Returns the build context of an image with all layer features that a builder supports: names of more than 100 and 255 bytes and in other
 * alphabets, hard and symbolic links, devices, pipes, permissions and owners, extended attributes, holes, empty files, deleted files and
 * folders, many small files, and a large file.
 *
 * @param mtime the time of its files, in seconds since the epoch
 */
export async function oddContext(mtime: number): Promise<Buffer> {
  const dockerfile = [
    "FROM scratch",
    "ADD base.tar odd.tar /",
    "ENV PATH=/bin",
    'RUN ["/bin/busybox", "sh", "/odd/changes"]',
    "COPY copied /odd/copied",
  ].join("\n");
  const base = Buffer.concat([...tar((await baseFiles()).map((one) => at(one, mtime)))]);
  const files = [
    fileEntry("Dockerfile", dockerfile),
    fileEntry("base.tar", base),
    fileEntry("odd.tar", oddTar(mtime)),
    fileEntry("copied", "copied\n".repeat(20_000)),
  ];
  return Buffer.concat([...tar(files)]);
}

/**
 * Returns a layer for `docker import` with rare tar fields, padding and ends, which no engine writes. A graph driver reproduces it byte for byte
 * (tar-split), except for a sparse file: 20.10 and 26.1 accept it but cannot save it, and Podman rejects it. All engines reject GNU's older
 * sparse format.
 */
export function foreignTar(mtime: number, options: { sparse: boolean }): Buffer {
  const parts = [0, 900_000].map((offset) => ({ offset, bytes: noise(100_000, offset) }));
  return Buffer.concat([
    longName(LONG),
    entry({ name: LONG.slice(0, 100), magic: "ustar  \0", content: noise(70_000, 1), padding: 7, mtime }),
    entry({ name: "odd/v7", type: "\0", magic: "", content: noise(3000, 2), mtime }),
    pax({ size: "3000", mtime: `${mtime}.5` }),
    entry({ name: "odd/by-pax", size: "00000000000\0", content: noise(3000, 3) }),
    entry({ name: "odd/spaces", size: "       5670 ", content: noise(3000, 4), mtime }),
    entry({ name: "odd/sum", content: noise(3000, 5), sum: (sum) => `${sum.toString(8).padStart(7, "0")}\0`, mtime }),
    ...(options.sparse ? [paxSparse("odd/sparse", parts, 1_000_000)] : []),
    END,
    Buffer.alloc(9 * 512),
    entry({ name: "odd/behind-the-end", content: noise(3000, 6), mtime }),
    END,
    noise(9999, 7),
  ]);
}

function oddTar(mtime: number): Buffer {
  const file = (name: string, content = `${name}\n`.repeat(20)): Buffer =>
    entry({ name, content: Buffer.from(content), mtime });
  const names = Array.from({ length: 600 }, (_, index) => String(index).padStart(6, "0"));
  return Buffer.concat([
    entry({ name: "odd/", type: "5", mode: "0000755\0", mtime }),
    file("odd/changes", CHANGES),
    entry({ name: "odd/large", content: contentOf("random", 5 * MB, "large"), mtime }),
    ...names.map((name, index) =>
      entry({ name: `odd/files/${name}`, content: contentOf("text", (index * index) % 9000, name), mtime }),
    ),
    file("odd/gone"),
    file("odd/folder/gone-with-it"),
    pax({ path: LONG }),
    file(LONG.slice(0, 100), "long"),
    longName(LONGER),
    entry({ name: LONGER.slice(0, 100), magic: "ustar  \0", content: contentOf("text", 2000, "longer"), mtime }),
    file("odd/ümläut-日本語"),
    entry({ name: "odd/base-256", size: base256(3000n), content: contentOf("text", 3000, "256"), mtime }),
    entry({ name: "odd/linked", type: "1", link: "odd/files/000005", mtime }),
    entry({ name: "odd/setuid", mode: "0004755\0", content: contentOf("text", 3000, "setuid"), mtime }),
    // A `struct vfs_cap_data` of linux/capability.h: revision 2, effective; cap_net_bind_service.
    pax({ "SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0" }),
    entry({ name: "odd/capable", mode: "0000755\0", content: contentOf("text", 3000, "capable"), mtime }),
    END,
  ]);
}

function at(one: TarEntry, mtime: number): TarEntry {
  return one.type === "link" ? one : { ...one, mtime };
}

function contentOf(kind: "random" | "text", bytes: number, seed: string): Buffer {
  return Buffer.concat([...makeContent(kind, bytes, seed)]);
}
