import { describe, expect, it } from "vitest";
import { castOf, USUAL } from "../../src/components/player/look";
import { coloursOf, rainbow, shades } from "../../src/components/player/palette";

const TWO: [string, string][] = [
  ["left", "snout"],
  ["left", "tail"],
  ["right", "snout"],
  ["right", "tail"],
  ["single", "door"],
];

describe("colours", () => {
  it("are matplotlib's rainbow, as in labelled videos", () => {
    // matplotlib.colormaps["rainbow"](…): its numbers, times 255, cut off.
    expect(rainbow(0)).toEqual([127, 0, 255]);
    expect(rainbow(1)).toEqual([255, 0, 0]);
    expect(rainbow(0.5)).toEqual([128, 254, 179]);
    expect(rainbow(0.25)).toEqual([0, 180, 235]);
  });

  it("go from the beginning of the map to its end", () => {
    expect(shades(3)).toEqual(["rgb(127 0 255)", "rgb(128 254 179)", "rgb(255 0 0)"]);
    expect(shades(1)).toEqual(["rgb(127 0 255)"]);
  });

  it("are by body part, or by individual", () => {
    const byPart = coloursOf(TWO, "bodypart");
    expect([byPart[0], byPart[1]]).toEqual([byPart[2], byPart[3]]);
    expect(new Set(byPart).size).toBe(3);
    const byAnimal = coloursOf(TWO, "individual");
    expect([byAnimal[0], byAnimal[2]]).toEqual([byAnimal[1], byAnimal[3]]);
    expect(new Set(byAnimal).size).toBe(3);
  });
});

describe("what is drawn", () => {
  it("are all points, and lines within each individual", () => {
    const cast = castOf(TWO, [["snout", "tail"]], USUAL);
    expect([...cast.shown]).toEqual([0, 1, 2, 3, 4]);
    expect([...cast.bones]).toEqual([0, 1, 2, 3]);
    expect(cast.names).toEqual(["left snout", "left tail", "right snout", "right tail", "single door"]);
  });

  it("is nothing of what is hidden, and no line to it", () => {
    const cast = castOf(TWO, [["snout", "tail"]], {
      ...USUAL,
      hiddenParts: new Set(["door"]),
      hiddenIndividuals: new Set(["left"]),
    });
    expect([...cast.shown]).toEqual([2, 3]);
    expect([...cast.bones]).toEqual([2, 3]);
  });

  it("has no individual's name where there is one animal", () => {
    expect(castOf([["", "snout"]], [["snout", "ear"]], USUAL)).toMatchObject({ names: ["snout"], boneColours: [] });
  });
});
