import { describe, expect, it } from "vitest";
import { BUCKETS, drawPoses, type Scene } from "../../src/components/player/drawing";
import { castOf, USUAL, type Look } from "../../src/components/player/look";
import { extentOf, gridStep, Orbit } from "../../src/components/player/orbit";
import { POINTS } from "./poses";

/** What was drawn on it, in words. */
class Board {
  readonly said: string[] = [];
  globalAlpha = 1;
  fillStyle = "";
  strokeStyle = "";
  lineWidth = 1;
  lineCap = "";
  lineJoin = "";
  font = "";
  textBaseline = "";
  beginPath(): void {
    return undefined;
  }
  arc(x: number, y: number): void {
    this.said.push(`dot ${x} ${y} ${this.fillStyle}`);
  }
  fill(): void {
    return undefined;
  }
  moveTo(x: number, y: number): void {
    this.said.push(`from ${x} ${y}`);
  }
  lineTo(x: number, y: number): void {
    this.said.push(`to ${x} ${y}`);
  }
  stroke(): void {
    this.said.push(`stroke ${this.globalAlpha.toFixed(2)}`);
  }
  strokeText(): void {
    return undefined;
  }
  fillText(text: string): void {
    this.said.push(`name ${text}`);
  }
}

/** Frame k: snout at (k, 2), tail at (10, 20); likelihood 0.9 and 0.5. */
function drawn(frame: number, look: Partial<Look>, more: Partial<Scene> = {}, broken = NaN): string[] {
  const board = new Board();
  const whole = { ...USUAL, skeleton: false, ...look };
  drawPoses(board as unknown as CanvasRenderingContext2D, frame, {
    cast: castOf(POINTS, [["snout", "tail"]], whole),
    at: (each) =>
      each < 0 || each > 50
        ? null
        : { values: Float32Array.of(each === broken ? NaN : each, 2, 0.9, 10, 20, 0.5), at: 0 },
    look: whole,
    threshold: 0.4,
    scale: 2,
    left: 0,
    top: 0,
    radius: 3,
    ...more,
  });
  return board.said;
}

describe("poses on a picture", () => {
  it("are dots at their places, in their colours", () => {
    expect(drawn(4, {})).toEqual(["dot 8 4 rgb(127 0 255)", "dot 20 40 rgb(255 0 0)"]);
  });

  it("are moved to where the part of the picture lies that was analysed", () => {
    expect(drawn(4, {}, { left: 100, top: 50 })[0]).toMatch(/^dot 208 104 /);
  });

  it("are not drawn at or below the threshold, nor where there is no number, nor where no poses are", () => {
    expect(drawn(4, {}, { threshold: 0.5 })).toEqual(["dot 8 4 rgb(127 0 255)"]);
    expect(drawn(4, {}, {}, 4)).toEqual(["dot 20 40 rgb(255 0 0)"]);
    expect(drawn(60, { skeleton: true, labels: true })).toEqual([]);
  });

  it("are joined where both ends are good enough", () => {
    expect(drawn(4, { skeleton: true }).slice(0, 3)).toEqual(["from 8 4", "to 20 40", "stroke 1.00"]);
    expect(drawn(4, { skeleton: true }, { threshold: 0.6 })).toEqual(["dot 8 4 rgb(127 0 255)"]);
  });

  it("have names", () => {
    expect(drawn(4, { labels: true }).slice(2)).toEqual(["name snout", "name tail"]);
  });

  it("have trails that fade in steps and break at gaps", () => {
    const only = { hiddenParts: new Set(["tail"]), trail: 10 };
    const said = drawn(20, only);
    expect(said.filter((each) => each.startsWith("stroke"))).toEqual(
      Array.from({ length: BUCKETS }, (_, at) => `stroke ${((0.85 * (at + 1)) / BUCKETS).toFixed(2)}`),
    );
    expect([said[0], said.at(-2)]).toEqual(["from 20 4", "stroke 0.85"]);
    expect(said.filter((each) => each.startsWith("to"))).toHaveLength(10);
    expect(drawn(20, only, {}, 15).filter((each) => each.startsWith("to"))).toHaveLength(8);
  });
});

describe("a scene in space", () => {
  it("is as large as most of it: a stray does not count", () => {
    const values = new Float32Array(4 * 1001);
    for (let point = 0; point < 1000; point++) values.set([point / 1000, 2, 3 + point / 500, 1], 4 * point);
    values.set([1e6, 1e6, 1e6, 99], 4000);
    const { middle, radius } = extentOf(values, 50);
    expect(middle[0]).toBeCloseTo(0.5, 1);
    expect([middle[1], radius]).toEqual([2, expect.closeTo(1, 1)]);
    expect(extentOf(new Float32Array(4).fill(NaN))).toEqual({ middle: [0, 0, 0], radius: 1 });
  });

  it("has a grid of round numbers", () => {
    expect([gridStep(40), gridStep(41), gridStep(0.9), gridStep(333)]).toEqual([10, 20, 0.5, 100]);
  });

  it("is seen from where the camera stands: the middle in the middle, up is up, near is large", () => {
    const orbit = new Orbit();
    orbit.look(400, 300, { middle: [1, 2, 3], radius: 2 });
    const out = new Float32Array(12);
    orbit.project(1, 2, 3, out, 0);
    expect([out[0], out[1]]).toEqual([200, 150]);
    orbit.project(1, 2, 5, out, 3);
    expect(out[4]).toBeLessThan(150);
    const span = (distance: number): number => {
      orbit.distance = distance;
      orbit.project(1, 2, 5, out, 6);
      return 150 - (out[7] ?? 0);
    };
    expect(span(2)).toBeGreaterThan(span(6));
  });

  it("turns: from behind, left is right", () => {
    const orbit = new Orbit();
    orbit.look(400, 300, { middle: [0, 0, 0], radius: 1 });
    const out = new Float32Array(3);
    orbit.pitch = orbit.yaw = 0;
    orbit.project(1, 0, 0, out, 0);
    const right = out[0] ?? 0;
    orbit.turn(Math.PI, 0);
    orbit.project(1, 0, 0, out, 0);
    expect(right - 200).toBeCloseTo(200 - (out[0] ?? 0));
    orbit.turn(0, 99);
    expect(orbit.pitch).toBeLessThan(Math.PI / 2);
  });

  it("knows which axis is up, and whether it points down", () => {
    const orbit = new Orbit();
    orbit.look(400, 300, { middle: [0, 0, 0], radius: 1 });
    const out = new Float32Array(3);
    [orbit.up, orbit.upwards] = [1, -1];
    orbit.project(0, -0.5, 0, out, 0);
    expect(out[1]).toBeLessThan(150);
  });
});
