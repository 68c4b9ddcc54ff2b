import { describe, expect, it, vi } from "vitest";
import { byKernel, type PieceConnection } from "../src/components/uploader/by_kernel";
import type { Send, Sending } from "../src/components/uploader/sending";
import { Uploads } from "../src/components/uploader/uploads";
import { Rate } from "../src/components/uploader/rate";
import type { Answer, Request } from "../src/server/connection";
import { Refusal, Unreachable } from "../src/server/refusal";
import { Store } from "../src/server/store";
import { empty } from "./server";

const SHA1_OF_ABC = "a9993e364706816aba3e25717850c26c9cd0d89d";

/** Sends nothing; a test says what becomes of each file. */
class Sender {
  readonly sent: { file: File; digest: string | null; did: string[]; end: (id: string) => void; fail: () => void }[] =
    [];
  readonly progress: ((sent: number) => void)[] = [];
  readonly send: Send = (file, digest, progress): Sending => {
    const did: string[] = [];
    let end: (id: string) => void = () => undefined;
    let fail: () => void = () => undefined;
    const done = new Promise<string>((resolve, reject) => {
      end = resolve;
      fail = () => {
        reject(new Unreachable("The connection broke."));
      };
    });
    this.sent.push({ file, digest, did, end, fail });
    this.progress.push(progress);
    return {
      done,
      start: () => did.push("start"),
      pause: () => did.push("pause"),
      discard: () => {
        did.push("discard");
        return Promise.resolve();
      },
    };
  };
}

function file(name: string, text = name): File {
  return new File([text], name, { lastModified: 1 });
}

function uploads(answers: Record<string, unknown> = {}): { uploads: Uploads; sender: Sender; stored: string[] } {
  const sender = new Sender();
  const stored: string[] = [];
  const all = new Uploads(new Store(empty(answers)), sender.send);
  all.onStored((id) => stored.push(id));
  return { uploads: all, sender, stored };
}

function states(all: Uploads): string[] {
  return all.items.value.map((each) => each.shown.value.state);
}

describe("uploads", () => {
  it("go two at a time, in the order in which they were added; each is told when it is stored", async () => {
    const { uploads: all, sender, stored } = uploads();
    all.add([file("a"), file("b"), file("c")]);
    await vi.waitFor(() => {
      expect(states(all)).toEqual(["sending", "sending", "waiting"]);
    });
    sender.sent[0]?.end("id-a");
    await vi.waitFor(() => {
      expect(states(all)).toEqual(["stored", "sending", "sending"]);
    });
    expect(stored).toEqual(["id-a"]);
  });

  it("take no file twice while it is on the list", () => {
    const { uploads: all } = uploads();
    all.add([file("a")]);
    all.add([file("a"), file("b")]);
    expect(all.items.value.map((each) => each.file.name)).toEqual(["a", "b"]);
  });

  it("make room for the next while one rests, and go on with it afterwards", async () => {
    const { uploads: all, sender } = uploads();
    all.add([file("a"), file("b"), file("c")]);
    await vi.waitFor(() => {
      expect(sender.sent).toHaveLength(2);
    });
    const [first] = all.items.value;
    if (!first) throw new Error("nothing was added");
    all.pause(first);
    await vi.waitFor(() => {
      expect(states(all)).toEqual(["paused", "sending", "sending"]);
    });
    all.resume(first);
    expect(states(all)[0]).toBe("waiting");
    sender.sent[1]?.end("id-b");
    await vi.waitFor(() => {
      expect(states(all)).toEqual(["sending", "stored", "sending"]);
    });
    expect(sender.sent[0]?.did).toEqual(["start", "pause", "start"]);
  });

  it("one that fails says why, holds up no other, and can be tried again", async () => {
    const { uploads: all, sender, stored } = uploads();
    all.add([file("a"), file("b")]);
    await vi.waitFor(() => {
      expect(sender.sent).toHaveLength(2);
    });
    sender.sent[0]?.fail();
    await vi.waitFor(() => {
      expect(states(all)).toEqual(["failed", "sending"]);
    });
    const [first] = all.items.value;
    if (!first) throw new Error("nothing was added");
    expect(first.shown.value.problem).toBe("The connection broke.");
    all.resume(first);
    await vi.waitFor(() => {
      expect(sender.sent).toHaveLength(3);
    });
    sender.sent[2]?.end("id-a");
    await vi.waitFor(() => {
      expect(stored).toEqual(["id-a"]);
    });
  });

  it("send no bytes of what is there already, and read a file for it only where one of its size is there", async () => {
    const known = [{ file_id: SHA1_OF_ABC }];
    const { uploads: all, sender, stored } = uploads({ "file?size=3": known });
    all.add([file("known", "abc"), file("other", "abd"), file("longer", "abcd")]);
    await vi.waitFor(() => {
      expect(sender.sent).toHaveLength(2);
    });
    sender.sent.find((each) => each.file.name === "known")?.end(SHA1_OF_ABC);
    await vi.waitFor(() => {
      expect(sender.sent).toHaveLength(3);
    });
    expect(Object.fromEntries(sender.sent.map((each) => [each.file.name, each.digest]))).toEqual({
      known: SHA1_OF_ABC,
      other: null,
      longer: null,
    });
    expect(states(all)[0]).toBe("known");
    expect(stored).toEqual([SHA1_OF_ABC]);
  });

  it("give up what has arrived of one that is removed, unless it is stored", async () => {
    const { uploads: all, sender } = uploads();
    all.add([file("a"), file("b")]);
    await vi.waitFor(() => {
      expect(sender.sent).toHaveLength(2);
    });
    sender.sent[1]?.end("id-b");
    await vi.waitFor(() => {
      expect(states(all)[1]).toBe("stored");
    });
    for (const each of all.items.value) all.remove(each);
    expect(all.items.value).toEqual([]);
    expect(sender.sent.map((each) => each.did)).toEqual([["start", "discard"], ["start"]]);
  });

  it("refuse a file that is empty", async () => {
    const { uploads: all } = uploads();
    all.add([file("nothing", "")]);
    await vi.waitFor(() => {
      expect(all.items.value[0]?.shown.value.problem).toBe("The file is empty.");
    });
  });

  it("offer those that were begun earlier, until they are on the list again", async () => {
    const begun = {
      upload_id: "u1",
      filename: "a",
      size: 1,
      offset: 0,
      created: "2026-01-01T00:00:00Z",
      expires: null,
    };
    localStorage.setItem(
      "tus::dlc_jupyter server a 1 1::7",
      JSON.stringify({ uploadUrl: "http://server/dlc/upload/u1" }),
    );
    const { uploads: all } = uploads({ upload: [begun, { ...begun, upload_id: "u2", filename: "b" }] });
    await all.lookBack();
    expect(all.earlier.value.map((each) => [each.upload_id, each.ours])).toEqual([
      ["u1", true],
      ["u2", false],
    ]);
    all.add([file("a")]);
    expect(all.earlier.value.map((each) => each.upload_id)).toEqual(["u2"]);
    localStorage.clear();
  });

  it("say how quickly it goes over the last seconds, not over the pause before", () => {
    const rate = new Rate();
    rate.note(0, 0);
    expect(rate.perSecond).toBeNull();
    for (let at = 1000; at <= 20_000; at += 1000) rate.note(at, at <= 10_000 ? 0 : at - 10_000);
    expect(rate.perSecond).toBe(1000);
    rate.forget();
    rate.note(90_000, 10_000);
    expect(rate.perSecond).toBeNull();
  });
});

/** A server behind a kernel: keeps what it is sent, and loses an answer now and then. */
class Kernel implements PieceConnection {
  readonly key = "kernel";
  readonly direct = false;
  got = new Uint8Array(0);
  arrived = 0;
  size = 0;
  metadata = "";
  /** Numbers of the pieces of which the answer is lost, counted from 1. */
  lose = new Set<number>();
  refuse: Refusal | null = null;
  pieces = 0;
  asked: string[] = [];

  address(): string {
    throw new Error("there is none");
  }

  headers(): Record<string, string> {
    return {};
  }

  ask(path: string, { method = "GET", headers = {} }: Request = {}): Promise<Answer> {
    this.asked.push(`${method} ${path}`);
    if (method === "POST") {
      this.size = Number(headers["Upload-Length"]);
      this.got = new Uint8Array(this.size);
      this.metadata = headers["Upload-Metadata"] ?? "";
      return Promise.resolve(answer({ Location: "/a b/dlc/upload/u1", "Upload-Offset": "0" }));
    }
    return Promise.resolve(answer({ "Upload-Offset": String(this.arrived) }));
  }

  piece(_path: string, headers: Record<string, string>, bytes: ArrayBuffer): Promise<Answer> {
    this.pieces += 1;
    if (this.refuse) return Promise.reject(this.refuse);
    if (Number(headers["Upload-Offset"]) !== this.arrived) {
      return Promise.reject(new Refusal(409, { message: "Another offset.", reason: "offset" }));
    }
    this.got.set(new Uint8Array(bytes), this.arrived);
    this.arrived += bytes.byteLength;
    if (this.lose.has(this.pieces)) return Promise.reject(new Unreachable("The kernel does not answer."));
    const done = this.arrived === this.size ? { "Dlc-File-Id": "id" } : {};
    return Promise.resolve(answer({ "Upload-Offset": String(this.arrived), ...done }));
  }
}

function answer(headers: Record<string, string>): Answer {
  return {
    status: 204,
    headers: { get: (name) => headers[name] ?? null },
    bytes: () => Promise.resolve(new ArrayBuffer(0)),
    json: () => Promise.resolve(null),
    text: () => Promise.resolve(""),
    stream: null,
  };
}

describe("the way through the kernel", () => {
  const bytes = Uint8Array.from({ length: 9 * 1024 * 1024 }, (_, at) => at % 251);
  const video = new File([bytes], "Tag 1 – Maus.mp4", { type: "video/mp4" });

  it("goes in acknowledged pieces, and has every byte once also where an answer was lost", async () => {
    const kernel = new Kernel();
    kernel.lose.add(2);
    const seen: number[] = [];
    const sending = byKernel(kernel, [0])(video, null, (sent) => seen.push(sent));
    sending.start();
    expect(await sending.done).toBe("id");
    expect(kernel.arrived).toBe(bytes.length);
    expect(kernel.got.every((each, at) => each === bytes[at])).toBe(true);
    expect(kernel.asked).toEqual(["POST upload", "HEAD upload/u1"]);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    const name = kernel.metadata.split(",")[0]?.split(" ")[1] ?? "";
    expect(new TextDecoder().decode(Uint8Array.from(atob(name), (each) => each.charCodeAt(0)))).toBe(video.name);
  });

  it("rests when it is paused, and goes on behind what has arrived", async () => {
    const kernel = new Kernel();
    const sending = byKernel(kernel, [])(video, null, () => {
      if (kernel.pieces === 1) sending.pause();
    });
    sending.start();
    await vi.waitFor(() => {
      expect(kernel.pieces).toBe(1);
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(kernel.pieces).toBe(1);
    sending.start();
    expect(await sending.done).toBe("id");
    expect(kernel.pieces).toBe(3);
  });

  it("ends where the server refuses", async () => {
    const kernel = new Kernel();
    kernel.refuse = new Refusal(413, { message: "It is too large.", reason: "too-large" });
    const sending = byKernel(kernel, [0, 0])(video, null, () => undefined);
    sending.start();
    await expect(sending.done).rejects.toThrow("It is too large.");
    expect(kernel.pieces).toBe(1);
  });
});
