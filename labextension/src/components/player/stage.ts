/** The canvas on which a frame and its poses appear together. */

import { dotRadius, drawPoses, type Scene } from "./drawing";
import type { Picture } from "./driver";
import type { Cast, Look } from "./look";
import { extentOf, Orbit, SpacePainter, type Extent } from "./orbit";
import type { Session } from "./session";

/** Pixels of a canvas at most: more are not seen, and cost time. */
const MOST_PIXELS = 2.5e6;

export interface Appearance {
  cast: Cast;
  look: Look;
  threshold: number;
  /** A colour for lines that are no poses'. */
  ink: string;
}

export abstract class Stage {
  appearance: Appearance | null = null;

  constructor(
    readonly canvas: HTMLCanvasElement,
    protected readonly session: Session,
  ) {}

  /** Fit the canvas to the room that it has, in CSS pixels. @returns Whether anything has changed. */
  fit(width: number, height: number, density: number): boolean {
    const wanted = width * height * density ** 2;
    const factor = density * Math.min(1, Math.sqrt(MOST_PIXELS / Math.max(1, wanted)));
    const [across, down] = [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
    if (this.canvas.width === across && this.canvas.height === down) return false;
    this.canvas.width = across;
    this.canvas.height = down;
    return true;
  }

  paint(frame: number, picture: Picture | null): void {
    const g = this.canvas.getContext("2d");
    if (!g) return;
    this.session.poses.want(frame, this.session.transport.moving);
    this.draw(g, frame, picture);
    // For tests and for who looks at the page from outside.
    this.canvas.dataset.frame = String(frame);
  }

  protected abstract draw(g: CanvasRenderingContext2D, frame: number, picture: Picture | null): void;
}

/** How large the picture is in which the poses are, in pixels; where nobody knows, something to begin with. */
export function pictureSize(session: Session): [width: number, height: number] {
  const { playback, pictures } = session;
  for (const known of [playback, pictures.played.peek()?.playback]) {
    if (known && known.width > 0 && known.height > 0) return [known.width, known.height];
  }
  return [640, 480];
}

/** Pictures with poses, or poses alone. */
export class FlatStage extends Stage {
  private readonly at = (frame: number): ReturnType<Scene["at"]> => this.session.poses.at(frame);

  protected draw(g: CanvasRenderingContext2D, frame: number, picture: Picture | null): void {
    const { width, height } = this.canvas;
    const { session, appearance } = this;
    const scale = width / pictureSize(session)[0];
    const played = session.pictures.played.peek();
    if (picture && played) {
      if (appearance && appearance.look.brightness !== 1) g.filter = `brightness(${appearance.look.brightness})`;
      // As OpenCV sees it: pixels that are not square are undone, and what pads a copy is outside of the canvas.
      g.drawImage(picture, 0, 0, played.playback.width * scale, played.playback.height * scale);
      g.filter = "none";
    } else {
      g.clearRect(0, 0, width, height);
    }
    if (!appearance) return;
    const cropping = session.poses.about.peek()?.cropping;
    drawPoses(g, frame, {
      cast: appearance.cast,
      at: this.at,
      look: appearance.look,
      threshold: appearance.threshold,
      scale,
      left: cropping?.[0] ?? 0,
      top: cropping?.[2] ?? 0,
      radius: dotRadius(width, height, appearance.look.dots),
    });
  }
}

/** Points in space. */
export class SpaceStage extends Stage {
  readonly orbit = new Orbit();
  private readonly painter = new SpacePainter(this.orbit);
  private extent: Extent | null = null;
  private readonly at = (frame: number): ReturnType<Scene["at"]> => this.session.poses.at(frame);

  constructor(canvas: HTMLCanvasElement, session: Session) {
    super(canvas, session);
    const up = session.poses.about.peek()?.up;
    if (Array.isArray(up)) {
      const axis = up.reduce((best, value, at) => (Math.abs(value) > Math.abs(up[best] ?? 0) ? at : best), 0);
      [this.orbit.up, this.orbit.upwards] = [axis, (up[axis] ?? 1) < 0 ? -1 : 1];
    } else if (typeof up === "string") {
      this.orbit.up = Math.max(0, "xyz".indexOf(up.slice(-1)));
      this.orbit.upwards = up.startsWith("-") ? -1 : 1;
    }
  }

  protected draw(g: CanvasRenderingContext2D, frame: number): void {
    const { width, height } = this.canvas;
    g.clearRect(0, 0, width, height);
    if (!this.appearance) return;
    const { cast, look, threshold, ink } = this.appearance;
    const here = this.session.poses.at(frame);
    if (!this.extent && here) this.extent = extentOf(here.values, threshold);
    const unit = this.session.poses.about.peek()?.unit ?? "";
    const radius = dotRadius(width, height, look.dots);
    const scene = { cast, look, at: this.at, radius, mostError: threshold, unit };
    this.painter.draw(g, frame, scene, this.extent ?? { middle: [0, 0, 0], radius: 1 }, ink);
  }
}
