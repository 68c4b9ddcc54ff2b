/** The picture with its poses, or the scene in space, in the page: sized, driven and drawn. */

import { useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Button } from "../parts/button";
import { ClockDriver } from "./clock_driver";
import { heed, useDrawing, useInks, useSize } from "./hooks";
import { Icon, type IconName } from "./icons";
import type { Cast, Look } from "./look";
import type { Session } from "./session";
import { FlatStage, pictureSize, SpaceStage, type Stage } from "./stage";
import { VideoDriver } from "./video_driver";

export function StageView(props: { session: Session; cast: Cast | null; look: Look; threshold: number }) {
  const { session, cast, look, threshold } = props;
  const { transport } = session;
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const stage = useRef<Stage | null>(null);
  const size = useSize(box);
  const inks = useInks(box);
  const played = session.pictures.played.value;
  const [width, height] = session.space ? [4, 3] : pictureSize(session);

  const again = useDrawing(() => {
    transport.again();
  });
  useLayoutEffect(() => {
    if (!canvas.current) return undefined;
    const made = session.space ? new SpaceStage(canvas.current, session) : new FlatStage(canvas.current, session);
    stage.current = made;
    transport.paint = (frame, picture) => {
      made.paint(frame, picture);
    };
    return () => {
      transport.paint = () => undefined;
    };
  }, [session]);
  useLayoutEffect(() => {
    if (stage.current) stage.current.appearance = cast ? { cast, look, threshold, ink: inks.faint } : null;
    again();
  }, [cast, look, threshold, inks]);
  useLayoutEffect(() => {
    if (size.width > 0 && stage.current?.fit(size.width, size.height, size.density)) again();
  }, [size]);
  useSignalEffect(() => {
    heed(session.poses.version.value);
    again();
  });
  // What drives it: the video where one plays, and otherwise a clock.
  useEffect(() => {
    if (!played || !video.current) {
      transport.use(new ClockDriver(transport.index, transport));
      return;
    }
    // Played from the address before it is set, so that no event of its loading is missed.
    transport.use(new VideoDriver(video.current, played.playback.index, transport));
    video.current.src = played.address;
  }, [session, played]);
  useSignalEffect(() => {
    const failure = transport.failure.value;
    if (failure && session.pictures.played.peek()) session.pictures.refuse(failure);
  });

  return (
    <div
      ref={box}
      class={`dlc-stage${session.space ? " dlc-space" : ""}${played ? "" : " dlc-no-picture"}`}
      style={{ aspectRatio: `${width} / ${height}`, "--dlc-aspect": String(width / height) }}
    >
      {played && (
        <video key={played.address} ref={video} muted playsInline preload="metadata" tabIndex={-1} aria-hidden="true" />
      )}
      <canvas
        ref={canvas}
        class="dlc-stage-canvas"
        role="img"
        aria-label={session.space ? "The points in space" : "The video with its poses"}
        onClick={() => {
          if (!session.space) transport.toggle();
        }}
        {...(session.space ? orbiting(() => (stage.current as SpaceStage | null)?.orbit ?? null, again) : {})}
      />
      {session.space && (
        <Turning
          turn={(act) => {
            act((stage.current as SpaceStage).orbit);
            again();
          }}
        />
      )}
      <Missing session={session} />
    </div>
  );
}

/** Says why there is nothing to be seen of the poses in this frame. */
function Missing({ session }: { session: Session }) {
  const { transport, poses } = session;
  const about = poses.about.value;
  heed(poses.version.value);
  const frame = transport.frame.value;
  if (!about) return null;
  const text =
    frame >= poses.stop || frame < poses.first
      ? about.state === "running" || about.state === "queued"
        ? "not analysed yet"
        : "no poses of this frame"
      : "";
  return text ? <span class="dlc-stage-note">{text}</span> : null;
}

type OrbitOf = () => SpaceStage["orbit"] | null;

/** Turn the scene with a pointer, come nearer with Ctrl and the wheel. */
function orbiting(orbit: OrbitOf, changed: () => void) {
  return {
    onPointerDown: (event: PointerEvent): void => {
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
    },
    onPointerMove: (event: PointerEvent): void => {
      if (!event.buttons) return;
      orbit()?.turn(event.movementX * 0.01, event.movementY * 0.01);
      changed();
    },
    onWheel: (event: WheelEvent): void => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      orbit()?.near(Math.exp(event.deltaY * 0.002));
      changed();
    },
  };
}

/** The same with buttons. */
function Turning({ turn }: { turn: (act: (orbit: SpaceStage["orbit"]) => void) => void }) {
  const button = (label: string, icon: IconName, act: (orbit: SpaceStage["orbit"]) => void) => (
    <Button
      kind="quiet"
      label={label}
      onClick={() => {
        turn(act);
      }}
    >
      <Icon name={icon} />
    </Button>
  );
  return (
    <div class="dlc-turning" role="group" aria-label="View">
      {button("Turn left", "left", (orbit) => {
        orbit.turn(-0.2, 0);
      })}
      {button("Turn right", "right", (orbit) => {
        orbit.turn(0.2, 0);
      })}
      {button("Look from higher", "up", (orbit) => {
        orbit.turn(0, 0.15);
      })}
      {button("Look from lower", "down", (orbit) => {
        orbit.turn(0, -0.15);
      })}
      {button("Nearer", "plus", (orbit) => {
        orbit.near(0.85);
      })}
      {button("Farther", "minus", (orbit) => {
        orbit.near(1.18);
      })}
    </div>
  );
}
