/** Why something is not shown, and what can be done about it. */

import { sentence } from "../../server/refusal";
import { Notice } from "../parts/notice";
import { ProgressBar } from "../parts/progress_bar";
import { fraction, standing } from "../queue/queue";
import type { Session } from "./session";

export function Notices({ session }: { session: Session }) {
  const { transport, poses, pictures } = session;
  const unreachable = transport.unreachable.value;
  return (
    <>
      <Missing session={session} />
      {unreachable !== null && (
        <Notice kind="warning" action={makeIt(session)}>
          The browser cannot stop at frame {unreachable} of this file: its time stamps do not allow it. What is shown is
          frame {transport.frame.value}.
        </Notice>
      )}
      {transport.failure.value && !pictures.why.value && <Notice kind="error">{transport.failure.value}</Notice>}
      {poses.problem.value !== null && poses.about.value && (
        <Notice kind="error">Some poses could not be fetched: {sentence(poses.problem.value)}</Notice>
      )}
    </>
  );
}

function makeIt(session: Session): { label: string; run: () => void } {
  return {
    label: "Make it playable",
    run: () => {
      void session.pictures.make();
    },
  };
}

/** Why there are no pictures or no poses, and how far the copy is that will be played. */
export function Missing({ session }: { session: Session }) {
  const { pictures, poses, store } = session;
  const making = pictures.making.value;
  const analysis = making ? store.analysis(making) : undefined;
  // Through the kernel no copy could be played either.
  const possible = store.server.direct;
  return (
    <>
      {making ? (
        <Notice kind="info">
          A copy of the video to be played here is being made: {analysis ? standing(analysis) : "starting …"}
          <ProgressBar value={analysis ? fraction(analysis) : null} label="Progress of the playable copy" />
        </Notice>
      ) : (
        !pictures.played.value &&
        pictures.why.value && (
          <Notice kind="warning" {...(possible ? { action: makeIt(session) } : {})}>
            {pictures.why.value}
          </Notice>
        )
      )}
      {session.noPoses.value && !poses.about.value && <Notice kind="info">{session.noPoses.value}</Notice>}
    </>
  );
}
