/** Why something is not shown, and what can be done about it. */

import { Notice } from "../parts/notice";
import { ProgressBar } from "../parts/progress_bar";
import { fraction, standing } from "../queue/queue";
import type { Session } from "./session";

export function Notices({ session }: { session: Session }) {
  const { transport, poses } = session;
  const unreachable = transport.unreachable.value;
  return (
    <>
      <Pictures session={session} />
      {session.noPoses.value && !poses.about.value && <Notice kind="info">{session.noPoses.value}</Notice>}
      {unreachable !== null && (
        <Notice kind="warning" action={makeIt(session)}>
          The browser cannot stop at frame {unreachable} of this file: its time stamps do not allow it. What is shown is
          frame {transport.frame.value}.
        </Notice>
      )}
      {transport.failure.value && !session.noPictures.value && <Notice kind="error">{transport.failure.value}</Notice>}
    </>
  );
}

function makeIt(session: Session): { label: string; run: () => void } {
  return {
    label: "Make it playable",
    run: () => {
      void session.makePlayable();
    },
  };
}

/** Why no pictures are shown, and how far the copy is that will be. */
function Pictures({ session }: { session: Session }) {
  if (session.making.value) {
    const analysis = session.store.analysis(session.making.value);
    return (
      <Notice kind="info">
        A copy of the video that browsers play is being made: {analysis ? standing(analysis) : "starting …"}
        <ProgressBar value={analysis ? fraction(analysis) : null} label="Progress of the playable copy" />
      </Notice>
    );
  }
  if (session.played.value || !session.noPictures.value) return null;
  // Through the kernel no copy could be played either.
  const possible = session.store.server.direct;
  return (
    <Notice kind="warning" {...(possible ? { action: makeIt(session) } : {})}>
      {session.noPictures.value}
    </Notice>
  );
}
