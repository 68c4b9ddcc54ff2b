/** What moves through the frames: a video that the browser plays, or a clock where there are only poses. */

export interface Driver {
  /** Show a frame; of several wishes the newest counts. */
  seek(frame: number): void;
  play(): void;
  pause(): void;
  /** 1: as recorded. */
  setSpeed(speed: number): void;
  /** Tell again what is shown, so that it is drawn anew. */
  again(): void;
  close(): void;
}

export interface Listener {
  /**
   * A frame is to be drawn now.
   *
   * @param picture Of this very frame; null where a video element shows it beneath, or there is none.
   */
  shown(frame: number, picture: Picture | null): void;
  /** It has come to the end while it played. */
  ended(): void;
  /** It cannot go on, for the reason in this sentence. */
  failed(reason: string): void;
  /** A frame was asked for that this video cannot be stopped at. */
  unreached(frame: number): void;
}

export type Picture = CanvasImageSource;
