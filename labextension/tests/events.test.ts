import { describe, expect, it } from "vitest";
import { EventParser, type ServerEvent } from "../src/server/events";

function parsed(...pieces: string[]): ServerEvent[] {
  const events: ServerEvent[] = [];
  const parser = new EventParser((event) => events.push(event));
  for (const piece of pieces) parser.feed(piece);
  return events;
}

describe("server-sent events", () => {
  it("are found wherever the stream is cut", () => {
    const text = 'id: 7\nevent: analysis\ndata: {"a": 1}\n\nid: 8\nevent: file\ndata: {}\n\n';
    const whole = parsed(text);
    expect(whole).toEqual([
      { id: "7", name: "analysis", data: '{"a": 1}' },
      { id: "8", name: "file", data: "{}" },
    ]);
    expect(parsed(...Array.from(text))).toEqual(whole);
  });

  it("have one text of several lines of data, and line ends of any kind", () => {
    expect(parsed("data: one\r\ndata: two\r\n\r\n")).toEqual([{ id: "", name: "message", data: "one\ntwo" }]);
  });

  it("are not made of comments, nor of an id alone; the id stays", () => {
    expect(parsed(": beat\n\nid: 9\n\n")).toEqual([]);
    expect(parsed("id: 9\n\ndata: x\n\n")).toEqual([{ id: "9", name: "message", data: "x" }]);
  });
});
