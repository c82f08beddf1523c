import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { FRAME_HEADER, writeFrameHeader } from "../../grpc/grpc-frames.ts";
import type { SentEntry } from "./select-entries.ts";

/**
 * The messages with which BuildKit copies a folder (tonistiigi/fsutil, `types/wire.proto` and `types/stat.proto`), each in a frame of gRPC.
 * Not encoded with generated code, for speed: a context has tens of thousands of messages.
 */
export const PACKET = { stat: 0, request: 1, data: 2, finish: 3, error: 4 } as const;

/** A message from BuildKit. */
export interface Packet {
  type: number;
  id: number;
  /** The text of an error */
  text: string;
}

/** Bits of Go's `fs.FileMode` */
const MODE = { folder: 2 ** 31, symlink: 2 ** 27, setuid: 2 ** 23, setgid: 2 ** 22, sticky: 2 ** 20 };

/** @throws Error for bytes that are not such a message */
export function readPacket(bytes: Uint8Array): Packet {
  const reader = new BinaryReader(bytes);
  const packet: Packet = { type: 0, id: 0, text: "" };
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1 && type === WireType.Varint) packet.type = reader.int32();
    else if (field === 3 && type === WireType.Varint) packet.id = reader.uint32();
    else if (field === 4 && type === WireType.LengthDelimited)
      packet.text = Buffer.from(reader.bytes()).toString("utf8");
    else reader.skip(type, field);
  }
  return packet;
}

/** Encodes one entry. Undefined ends the list. */
export function statPacket(entry: SentEntry | undefined): Buffer {
  const writer = new BinaryWriter();
  if (entry === undefined) return framed(writer);
  return framed(writer.tag(2, WireType.LengthDelimited).bytes(stat(entry)));
}

/** Encodes a part of a file. No bytes mean the end of the file. */
export function dataPacket(id: number, bytes: Uint8Array): Buffer {
  const writer = new BinaryWriter().tag(1, WireType.Varint).int32(PACKET.data);
  if (id !== 0) writer.tag(3, WireType.Varint).uint32(id);
  if (bytes.length > 0) writer.tag(4, WireType.LengthDelimited).bytes(bytes);
  return framed(writer);
}

export function finishPacket(): Buffer {
  return framed(new BinaryWriter().tag(1, WireType.Varint).int32(PACKET.finish));
}

export function errorPacket(text: string): Buffer {
  const writer = new BinaryWriter().tag(1, WireType.Varint).int32(PACKET.error);
  return framed(writer.tag(4, WireType.LengthDelimited).bytes(Buffer.from(text)));
}

function stat({ entry, linkTo }: SentEntry): Uint8Array {
  const writer = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .bytes(Buffer.from(entry.path, "latin1"))
    .tag(2, WireType.Varint)
    .uint32(goMode(entry));
  const link = entry.kind === "symlink" ? entry.target : (linkTo ?? "");
  const size = entry.kind === "file" ? entry.size : entry.kind === "symlink" ? entry.target.length : 0;
  if (size > 0) writer.tag(5, WireType.Varint).int64(size);
  writer.tag(6, WireType.Varint).int64(BigInt(entry.mtime) * 1000n);
  if (link !== "") writer.tag(7, WireType.LengthDelimited).bytes(Buffer.from(link, "latin1"));
  return writer.finish();
}

function goMode({ kind, mode }: SentEntry["entry"]): number {
  if (kind === "symlink") return MODE.symlink + 0o777; // the only mode on Linux; BuildKit compares it with the mode that it has stored
  let bits = (mode & 0o777) + (kind === "folder" ? MODE.folder : 0);
  if (mode & 0o4000) bits += MODE.setuid;
  if (mode & 0o2000) bits += MODE.setgid;
  if (mode & 0o1000) bits += MODE.sticky;
  return bits;
}

function framed(writer: BinaryWriter): Buffer {
  const message = writer.finish();
  const frame = Buffer.allocUnsafe(FRAME_HEADER + message.length);
  writeFrameHeader(frame, 0, message.length);
  frame.set(message, FRAME_HEADER);
  return frame;
}
