import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Session } from "../../src/components/player/session";
import type { Span } from "../../src/components/player/transport";
import type { Answer, Connection, Request } from "../../src/server/connection";
import { Refusal } from "../../src/server/refusal";
import { Store } from "../../src/server/store";
import type { Analysis, State } from "../../src/server/types";
import { compact } from "./poses";

const REGULAR = { regular: { start: 0, step: 1, timescale: 30 } };
const DIRECT = {
  frames: 50,
  width: 64,
  height: 48,
  fps: 30,
  timing: REGULAR,
  play: "direct",
  why: null,
  playable_file: null,
};
const AVI = { ...DIRECT, frames: null, timing: null, play: "proxy", why: "It is an AVI file." };

/** Answers by path, without its query: JSON, bytes, or a refusal. */
class Server implements Connection {
  readonly key = `test ${Math.random()}`;
  readonly asked: string[] = [];
  readonly sent: unknown[] = [];
  constructor(
    readonly answers: Record<string, unknown>,
    readonly direct = true,
  ) {}
  address(path: string): string {
    return `http://server/dlc/${path}`;
  }
  headers(): Record<string, string> {
    return {};
  }
  ask(path: string, request: Request = {}): Promise<Answer> {
    this.asked.push(path);
    if (request.json !== undefined) this.sent.push(request.json);
    const [bare = ""] = path.split("?");
    let found = this.answers[bare];
    if (bare.endsWith("/poses") || bare.endsWith("/space")) found = this.poses(path, found);
    if (found === undefined) return Promise.reject(new Refusal(404, { message: "There is nothing.", reason: "none" }));
    if (found instanceof Error) return Promise.reject(found);
    const bytes = found instanceof ArrayBuffer ? found : new TextEncoder().encode(JSON.stringify(found)).buffer;
    return Promise.resolve({
      status: 200,
      headers: { get: () => null },
      bytes: () => Promise.resolve(bytes),
      json: () => Promise.resolve(found),
      text: () => Promise.resolve(""),
      stream: null,
    });
  }
  /** So many frames of poses, of the range that is asked for. */
  private poses(path: string, about: unknown): unknown {
    if (typeof about !== "object" || about === null || about instanceof Error) return about;
    const query = new URLSearchParams(path.split("?")[1]);
    const { frames } = about as { frames: number };
    const start = Number(query.get("start"));
    const count = Math.max(0, Math.min(Number(query.get("stop")), frames) - start);
    return compact({ ...about, start, count }, path.includes("/space") ? 4 : 3);
  }
}

function analysis(id: string, state: State, more: Partial<Analysis> = {}): Analysis {
  return {
    analysis_id: id,
    analysis: "video",
    file_id: ["film"],
    parameters: {},
    state,
    progress: null,
    position: null,
    created: "2026-01-01T00:00:00Z",
    started: null,
    finished: null,
    owner: "",
    attempt: 1,
    ...more,
  };
}

const opened: Session[] = [];

async function open(server: Server, fileId = "film", analysisId = ""): Promise<Session> {
  const wishes = { selection: signal<Span | null>(null), playing: signal(false), speed: signal(1) };
  const session = new Session(new Store(server), fileId, analysisId, wishes, 0);
  opened.push(session);
  await session.open();
  return session;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
  vi.useRealTimers();
});

describe("opening a video", () => {
  it("plays it with the newest poses", async () => {
    const server = new Server({
      "film/x": 0,
      "file/film/playback": DIRECT,
      "file/film/poses": { frames: 50, analysis_id: "a" },
    });
    const session = await open(server);
    expect(session.phase.value).toBe("ready");
    expect(session.pictures.played.value?.address).toBe("http://server/dlc/file/film");
    expect([session.analysisId.value, session.poses.stop, session.transport.index.frames]).toEqual(["a", 50, 50]);
  });

  it("shows it also where there are no poses", async () => {
    const session = await open(new Server({ "file/film/playback": DIRECT }));
    expect([session.phase.value, session.noPoses.value]).toEqual(["ready", "There is nothing."]);
  });

  it("reads a table of times", async () => {
    const times = Float64Array.of(0, 0.5, 0.6, 2).buffer;
    const server = new Server({
      "file/film/playback": { ...DIRECT, frames: 3, timing: { times: "/user/me/dlc/file/film/times" } },
      "file/film/times": times,
    });
    const session = await open(server);
    expect([session.transport.index.frames, session.transport.index.middle(1)]).toEqual([3, 0.55]);
  });

  it("shows poses alone where the page cannot reach the server itself", async () => {
    const server = new Server({ "file/film/playback": DIRECT, "file/film/poses": { frames: 50 } }, false);
    const session = await open(server);
    expect(session.pictures.played.value).toBeNull();
    expect(session.pictures.why.value).toMatch(/only through the notebook's kernel/);
  });

  it("says in a sentence why it cannot", async () => {
    const session = await open(new Server({}));
    expect([session.phase.value, session.problem.value]).toEqual(["failed", "There is nothing."]);
  });
});

describe("a video that does not play", () => {
  it("has its copy played where there is one", async () => {
    const server = new Server({
      "file/film/playback": { ...DIRECT, play: "proxy", why: "No.", playable_file: "copy" },
      "file/copy/playback": { ...DIRECT, width: 66 },
    });
    const session = await open(server);
    expect(session.pictures.played.value?.address).toBe("http://server/dlc/file/copy");
    expect(session.playback?.width).toBe(64);
  });

  it("is made playable on request, also where nothing is known of its frames before", async () => {
    const server = new Server({
      "file/film/playback": AVI,
      "file/copy/playback": DIRECT,
      analysis: { analysis_id: "made" },
      "analysis/made/status": analysis("made", "running", { analysis: "playable" }),
      "analysis/made": { video_file: "copy" },
    });
    const session = await open(server);
    expect([session.phase.value, session.pictures.why.value]).toEqual(["nothing", "It is an AVI file."]);
    await session.pictures.make();
    expect(server.sent).toEqual([{ analysis: "playable", file_id: "film" }]);
    expect(session.pictures.making.value).toBe("made");

    server.answers["file/film/playback"] = { ...AVI, frames: 50, timing: REGULAR, playable_file: "copy" };
    server.answers["analysis/made/status"] = analysis("made", "succeeded", { analysis: "playable" });
    await session.store.refresh("made");
    await vi.waitFor(() => {
      expect(session.pictures.played.value?.playback.fileId).toBe("copy");
    });
    expect([session.phase.value, session.pictures.making.value]).toEqual(["ready", ""]);
  });

  it("is encoded anew for quick scrubbing, and that copy is played from then on", async () => {
    const server = new Server({
      "file/film/playback": DIRECT,
      "file/copy/playback": DIRECT,
      analysis: { analysis_id: "made" },
      "analysis/made/status": analysis("made", "succeeded", { analysis: "playable" }),
      "analysis/made": { video_file: "copy" },
    });
    const session = await open(server);
    expect(session.pictures.original).toBe(true);
    await session.pictures.make(true);
    expect(server.sent).toEqual([{ analysis: "playable", file_id: "film", how: "proxy" }]);
    await vi.waitFor(() => {
      expect(session.pictures.original).toBe(false);
    });
    server.answers["file/film/playback"] = { ...DIRECT, playable_file: "copy" };
    expect((await open(server)).pictures.played.value?.playback.fileId).toBe("copy");
  });

  it("says why no copy could be made", async () => {
    const failed = { message: "It has failed.", reason: "failed" };
    const error = { type: "X", message: "The video is damaged.", hint: "Record it anew." };
    const server = new Server({
      "file/film/playback": AVI,
      analysis: { analysis_id: "made" },
      "analysis/made/status": analysis("made", "failed", { analysis: "playable" }),
      "analysis/made": new Refusal(500, { ...failed, error }),
    });
    const session = await open(server);
    await session.pictures.make();
    await vi.waitFor(() => {
      expect(session.pictures.why.value).toBe("The video is damaged. Record it anew.");
    });
  });

  it("in this browser only is encoded anew, not copied a second time", async () => {
    const server = new Server({
      "file/film/playback": { ...DIRECT, play: "remux", playable_file: "copy" },
      "file/copy/playback": DIRECT,
      analysis: { analysis_id: "made" },
      "analysis/made/status": analysis("made", "running", { analysis: "playable" }),
    });
    const session = await open(server);
    session.pictures.refuse("This browser does not play a video of this kind.");
    expect(session.pictures.why.value).toMatch(/^This browser does not play a video of this kind\. It can be made/);
    await session.pictures.make();
    expect(server.sent).toEqual([{ analysis: "playable", file_id: "film", how: "proxy" }]);
  });
});

describe("poses that are being made", () => {
  it("come as the analysis goes on, and anew when it has ended", async () => {
    const poses = { frames: 10, analysis_id: "a", state: "running" };
    const server = new Server({
      "file/film/playback": DIRECT,
      "file/film/poses": poses,
      "analysis/a/status": analysis("a", "running"),
    });
    const session = await open(server, "film", "a");
    expect(session.poses.stop).toBe(10);
    server.answers["file/film/poses"] = { ...poses, frames: 30 };
    await session.store.refresh("a");
    await vi.advanceTimersByTimeAsync(1500);
    expect(session.poses.stop).toBe(30);

    server.answers["file/film/poses"] = { ...poses, frames: 50, state: "succeeded" };
    server.answers["analysis/a/status"] = analysis("a", "succeeded");
    await session.store.refresh("a");
    await vi.advanceTimersByTimeAsync(1500);
    expect([session.poses.stop, session.poses.about.value?.state]).toEqual([50, "succeeded"]);
  });

  it("that are not there at first are found when they are", async () => {
    const server = new Server({ "file/film/playback": DIRECT, "analysis/a/status": analysis("a", "running") });
    const session = await open(server, "film", "a");
    expect(session.poses.about.value).toBeNull();
    server.answers["file/film/poses"] = { frames: 5, analysis_id: "a", state: "running" };
    await session.store.refresh("a");
    await vi.advanceTimersByTimeAsync(1500);
    expect([session.poses.stop, session.noPoses.value]).toEqual([5, ""]);
  });
});

it("a scene in space is opened by its analysis, with the times of its first video", async () => {
  const server = new Server({
    "analysis/t/status": analysis("t", "succeeded", { analysis: "triangulate", file_id: ["film", "other"] }),
    "file/film/playback": DIRECT,
    "analysis/t/space": { frames: 40, unit: "mm" },
  });
  const session = await open(server, "", "t");
  expect([session.phase.value, session.space, session.poses.size]).toEqual(["ready", true, 4]);
  expect([session.poses.stop, session.transport.index.time(30)]).toEqual([40, 1]);
  expect(session.pictures.played.value).toBeNull();
});
