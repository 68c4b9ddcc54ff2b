/** Stored files as addresses that pictures, videos and links can have. */

import { useEffect, useState } from "preact/hooks";
import { sentence } from "../../server/refusal";
import type { Store } from "../../server/store";

/** Bytes that are fetched whole through a kernel, which is slow, to be shown. */
const THROUGH_KERNEL = 8_000_000;

export interface Source {
  /** "" until it is known, or where there is none. */
  address: string;
  /** Why there is none, in a sentence. */
  problem: string;
}

/** Return the address of a stored file: the server's own, or that of its bytes where only the kernel reaches the server. */
export function useSource(store: Store, fileId: string): Source {
  const { direct } = store.server;
  const [fetched, setFetched] = useState<Source>({ address: "", problem: "" });
  const size = store.file(fileId)?.size ?? 0;
  useEffect(() => {
    if (direct) return;
    if (size > THROUGH_KERNEL) {
      const problem = "This page reaches the server only through the kernel, which is too slow for so large a file.";
      setFetched({ address: "", problem });
      return;
    }
    let address = "";
    let gone = false;
    bytesOf(store, fileId).then(
      (blob) => {
        if (gone) return;
        address = URL.createObjectURL(blob);
        setFetched({ address, problem: "" });
      },
      (error: unknown) => {
        if (!gone) setFetched({ address: "", problem: sentence(error) });
      },
    );
    return () => {
      gone = true;
      if (address) URL.revokeObjectURL(address);
    };
  }, [store, fileId, direct, size]);
  return direct ? { address: store.server.address(`file/${fileId}`), problem: "" } : fetched;
}

/** Hand a file to the browser's downloads where only the kernel reaches the server. @throws Refusal, Unreachable */
export async function download(store: Store, fileId: string, filename: string): Promise<void> {
  const address = URL.createObjectURL(await bytesOf(store, fileId));
  const link = document.createElement("a");
  link.href = address;
  link.download = filename;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 60_000);
}

async function bytesOf(store: Store, fileId: string): Promise<Blob> {
  const answer = await store.server.ask(`file/${fileId}`);
  return new Blob([await answer.bytes()], { type: store.file(fileId)?.content_type ?? "" });
}
