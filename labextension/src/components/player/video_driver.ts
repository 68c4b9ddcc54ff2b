/**
 * Frames of a `<video>`, each told by the time stamp of its own picture.
 *
 * A callback of the browser comes late at times, when the element shows the next frame already; a `VideoFrame` holds
 * the pixels and the time stamp of one and the same. Where there are none, the element itself is seen beneath the poses,
 * and what the callback says of it has to do: it is right while it stands, and at times a frame late while it plays.
 */

import type { Driver, Listener } from "./driver";
import type { FrameIndex } from "./frame_index";

/** Milliseconds after which a seek that was not answered is tried anew. */
const LOST = 4000;
/** Milliseconds for a frame to appear behind the end of its seek, before it is taken for one that cannot be reached. */
const PATIENCE = 600;
/** So often may the two ways to tell a standing frame disagree before the browser's pictures are not believed any more. */
const DOUBTS = 3;

const WHY: Record<number, string> = {
  2: "The connection broke while the video was loading.",
  3: "The browser could not decode the video.",
  4: "This browser does not play a video of this kind.",
};

export class VideoDriver implements Driver {
  /** Whether pictures and poses are drawn together. */
  locked: boolean;

  private wish: number | null = null;
  /** Where the seek under way leads; null: there is none. */
  private target: number | null = null;
  private lost = 0;
  private patience = 0;
  private frame = -1;
  private playing = false;
  private doubts = 0;
  private callback = 0;
  private closed = false;

  constructor(
    readonly video: HTMLVideoElement,
    private readonly index: FrameIndex,
    private readonly listener: Listener,
  ) {
    this.locked = typeof VideoFrame === "function";
    video.addEventListener("seeked", this.seeked);
    video.addEventListener("ended", this.ended);
    video.addEventListener("error", this.error);
    video.addEventListener("loadeddata", this.loaded);
    this.listen();
  }

  seek(frame: number): void {
    this.wish = this.index.clamp(frame);
    this.pump();
  }

  play(): void {
    this.playing = true;
    this.video.play().catch((error: unknown) => {
      // A pause that came before it had begun is no trouble.
      if (this.closed || (error as Error).name === "AbortError") return;
      if ((error as Error).name === "NotAllowedError")
        this.listener.failed("The browser wants a click before it plays.");
    });
  }

  pause(): void {
    if (!this.playing) return;
    this.playing = false;
    this.video.pause();
    // The element may be ahead of what is drawn: what was seen last is what one has stopped at.
    if (this.frame >= 0 && this.wish === null) this.seek(this.frame);
  }

  setSpeed(speed: number): void {
    this.video.playbackRate = speed;
  }

  again(): void {
    if (this.locked) this.paint(null);
    else if (this.frame >= 0) this.listener.shown(this.frame, null);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.lost);
    clearTimeout(this.patience);
    const { video } = this;
    if ("cancelVideoFrameCallback" in video) video.cancelVideoFrameCallback(this.callback);
    video.removeEventListener("seeked", this.seeked);
    video.removeEventListener("ended", this.ended);
    video.removeEventListener("error", this.error);
    video.removeEventListener("loadeddata", this.loaded);
    video.pause();
    // The browser keeps connections and decoders of videos that have an address.
    video.removeAttribute("src");
    video.load();
  }

  private listen(): void {
    if (this.closed || !("requestVideoFrameCallback" in this.video)) return;
    this.callback = this.video.requestVideoFrameCallback((_now, metadata) => {
      this.listen();
      // What the end of a seek has drawn already needs not be drawn twice.
      if (this.locked && this.index.nearest(metadata.mediaTime) === this.frame) return;
      this.paint(metadata.mediaTime);
    });
  }

  /** Draw what the element shows. `mediaTime` is the callback's word for it, where one has called. */
  private paint(mediaTime: number | null): void {
    if (this.closed) return;
    const said = mediaTime === null ? null : this.index.nearest(mediaTime);
    if (!this.locked) {
      if (said !== null) this.show(said, null);
      return;
    }
    let picture: VideoFrame;
    try {
      picture = new VideoFrame(this.video);
    } catch (error) {
      // Without data there is no picture yet; of a video of elsewhere there will never be one.
      if ((error as Error).name === "SecurityError") this.locked = false;
      return;
    }
    try {
      const frame = this.index.nearest(picture.timestamp / 1e6);
      if (said !== null && said !== frame && !this.playing && this.target === null && ++this.doubts >= DOUBTS) {
        this.locked = false;
      }
      this.show(frame, picture);
    } finally {
      picture.close();
    }
  }

  private show(frame: number, picture: VideoFrame | null): void {
    this.frame = frame;
    // Reading ahead waits until the first picture is there: poses share the connection.
    if (this.video.preload !== "auto") this.video.preload = "auto";
    this.listener.shown(frame, picture);
  }

  private pump(): void {
    if (this.target !== null || this.wish === null || this.closed) return;
    if (this.video.readyState < 1) return; // its beginning is not here yet: `loaded` goes on
    this.target = this.wish;
    this.wish = null;
    clearTimeout(this.lost);
    this.lost = setTimeout(this.seeked, LOST) as unknown as number;
    this.video.currentTime = this.index.middle(this.target);
  }

  private readonly loaded = (): void => {
    this.paint(null);
    this.pump();
  };

  private readonly seeked = (): void => {
    clearTimeout(this.lost);
    const { target } = this;
    this.target = null;
    if (target === null || this.closed) return;
    // No callback comes for a frame that was there before.
    if (this.locked) this.paint(null);
    if (this.wish !== null) {
      this.pump();
      return;
    }
    if (this.frame === target || this.playing) return;
    clearTimeout(this.patience);
    this.patience = setTimeout(() => {
      if (this.closed || this.playing || this.frame === target || this.wish !== null || this.target !== null) return;
      if (this.locked) this.paint(null);
      else this.show(this.index.containing(this.video.currentTime), null);
      if (this.current() !== target) this.listener.unreached(target);
    }, PATIENCE) as unknown as number;
  };

  /** The compiler does not expect that painting changes it. */
  private current(): number {
    return this.frame;
  }

  private readonly ended = (): void => {
    this.playing = false;
    if (this.locked) this.paint(null);
    this.listener.ended();
  };

  private readonly error = (): void => {
    if (this.closed) return;
    this.listener.failed(WHY[this.video.error?.code ?? 4] ?? "The browser cannot play this video.");
  };
}
