import { expect, test } from "vitest";
import { receiveImages } from "../../../src/several-images/receive-images.ts";
import { imagesMessage } from "../../../src/conversation/images.ts";
import { acceptConversations } from "../../../src/stdio-tunnel/conversations.ts";
import { tunnelPair } from "../stdio-tunnel/carriers.ts";

/** A receiver that records the images that it receives, and a sender whose messages the test sends. */
async function sides(acceptsMore: boolean) {
  const { sender, receiver } = await tunnelPair();
  const received: string[] = [];
  const ended = receiveImages(receiver, {
    imagesFor: (named) => named.map(({ given }) => given),
    acceptsMore,
    async receiveOne(conversation, image) {
      received.push(image);
      await conversation.finish({ image });
    },
    signal: new AbortController().signal,
  });
  const conversations = acceptConversations(sender, Infinity);
  /** Names images, and waits until the receiver has received them. */
  const send = async (images: string[], more: boolean): Promise<void> => {
    await sender.send(imagesMessage(images, more));
    for (const _ of images) {
      const { value } = await conversations.next();
      await value?.result();
    }
  };
  return { sender, received, ended, send, conversations };
}

test("a receiver waits for further images until the sender reports the end", async () => {
  const { sender, received, ended, send, conversations } = await sides(true);
  await send(["a:v1"], true);
  await send([], true);
  await send(["b:v1", "a:v1"], true);
  expect(received).toEqual(["a:v1", "b:v1", "a:v1"]);
  await send(["c:v1"], false);
  expect(await conversations.next()).toEqual({ done: true, value: undefined });
  expect(await ended).toBe(true);
  expect(received).toEqual(["a:v1", "b:v1", "a:v1", "c:v1"]);
  await sender.closed;
});

test("a receiver with its own images ends after them", async () => {
  const { received, ended, send } = await sides(false);
  await send(["a:v1"], true);
  expect(await ended).toBe(true);
  expect(received).toEqual(["a:v1"]);
});
