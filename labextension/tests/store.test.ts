import { describe, expect, it, vi } from "vitest";
import { Store, storeOf } from "../src/server/store";
import type { Analysis, State } from "../src/server/types";
import { empty } from "./server";

function analysis(id: string, state: State, more: Partial<Analysis> = {}): Analysis {
  return {
    analysis_id: id,
    analysis: "video",
    file_id: [],
    parameters: {},
    state,
    progress: null,
    position: null,
    created: `2026-01-01T00:00:0${id}Z`,
    started: null,
    finished: null,
    owner: "",
    attempt: 1,
    ...more,
  };
}

function stream(): { body: ReadableStream<Uint8Array<ArrayBuffer>>; send: (text: string) => void; end: () => void } {
  let controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (each) => {
      controller = each;
    },
  });
  return {
    body,
    send: (text) => controller?.enqueue(new TextEncoder().encode(text)),
    end: () => controller?.close(),
  };
}

describe("the store of a page", () => {
  it("loads the lists, and hears what changes by events", async () => {
    const server = empty({ analysis: [analysis("1", "queued")] });
    const events = stream();
    server.events = events.body;
    const store = new Store(server);
    const release = store.use();
    await vi.waitFor(() => {
      expect(store.loaded.value).toBe(true);
    });
    expect(store.hearing.value).toBe("events");

    events.send(`id: 4\nevent: analysis\ndata: ${JSON.stringify(analysis("1", "running"))}\n\n`);
    events.send(`id: 5\nevent: analysis\ndata: ${JSON.stringify(analysis("2", "queued"))}\n\n`);
    await vi.waitFor(() => {
      expect(store.analyses.value.map((each) => [each.analysis_id, each.state])).toEqual([
        ["2", "queued"],
        ["1", "running"],
      ]);
    });

    events.send('id: 6\nevent: analysis\ndata: {"analysis_id": "1", "deleted": true}\n\n');
    await vi.waitFor(() => {
      expect(store.analyses.value.map((each) => each.analysis_id)).toEqual(["2"]);
    });
    release();
    expect(store.hearing.value).toBe("nothing");
  });

  it("keeps what it hears while the lists are on their way", async () => {
    const server = empty({ analysis: [analysis("1", "running")] });
    const events = stream();
    server.events = events.body;
    const arrive = server.hold("analysis");
    const store = new Store(server);
    const release = store.use();
    await vi.waitFor(() => {
      expect(store.hearing.value).toBe("events");
    });
    events.send(`id: 4\nevent: analysis\ndata: ${JSON.stringify(analysis("1", "succeeded"))}\n\n`);
    await vi.waitFor(() => {
      expect(store.analyses.value.map((each) => each.state)).toEqual(["succeeded"]);
    });
    arrive(); // the list says what was before
    await vi.waitFor(() => {
      expect(store.loaded.value).toBe(true);
    });
    expect(store.analyses.value.map((each) => each.state)).toEqual(["succeeded"]);
    release();
  });

  it("moves those that wait when one before them is gone", async () => {
    const server = empty({
      analysis: [
        analysis("3", "queued", { position: 2 }),
        analysis("2", "queued", { position: 1 }),
        analysis("1", "running"),
      ],
    });
    const events = stream();
    server.events = events.body;
    const store = new Store(server);
    const release = store.use();
    await vi.waitFor(() => {
      expect(store.analysis("3")?.position).toBe(2);
    });
    events.send(`id: 4\nevent: analysis\ndata: ${JSON.stringify(analysis("2", "running"))}\n\n`);
    await vi.waitFor(() => {
      expect(store.analysis("2")?.state).toBe("running");
    });
    expect(store.analysis("3")?.position).toBe(1);
    release();
  });

  it("goes on behind the last event when the connection broke", async () => {
    const server = empty();
    const first = stream();
    server.events = first.body;
    const store = new Store(server);
    const release = store.use();
    await vi.waitFor(() => {
      expect(store.hearing.value).toBe("events");
    });
    first.send(`id: 41\nevent: analysis\ndata: ${JSON.stringify(analysis("1", "queued"))}\n\n`);
    await vi.waitFor(() => {
      expect(store.analyses.value).toHaveLength(1);
    });
    server.events = stream().body;
    first.end();
    await vi.waitFor(
      () => {
        const followed = server.asked.filter((each) => each.path === "events");
        expect(followed.at(-1)?.request.headers?.["Last-Event-ID"]).toBe("41");
      },
      { timeout: 3000 },
    );
    release();
  });

  it("asks again and again where no events can come", async () => {
    const server = empty({ analysis: [analysis("1", "running")] }, false);
    const store = new Store(server);
    const release = store.use();
    await vi.waitFor(() => {
      expect(store.hearing.value).toBe("polling");
    });
    server.set("analysis", [analysis("1", "succeeded")]);
    await vi.waitFor(
      () => {
        expect(store.analyses.value[0]?.state).toBe("succeeded");
      },
      { timeout: 3000 },
    );
    release();
  });

  it("is one for all panels of a server", () => {
    const server = empty();
    expect(storeOf(server)).toBe(storeOf(server));
    expect(storeOf(empty())).not.toBe(storeOf(server));
  });
});
