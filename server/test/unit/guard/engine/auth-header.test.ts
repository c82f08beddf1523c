import { expect, test } from "vitest";
import { authHeader } from "../../../../src/guard/engine/auth-header.ts";

test.each(["a", "ab", "abc", "ÿþý"])(
  "encodes credentials %s in base64 of the URL alphabet, with padding",
  (password) => {
    const header = authHeader({ password });
    expect(header).toMatch(/^(?:[\w-]{4})*(?:[\w-]{2}==|[\w-]{3}=)?$/);
    expect(JSON.parse(Buffer.from(header, "base64url").toString())).toEqual({ password });
  },
);
