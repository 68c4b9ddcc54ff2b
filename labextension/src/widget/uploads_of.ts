import { byKernel } from "../components/uploader/by_kernel";
import { byHttp } from "../components/uploader/sending";
import { uploadsOf, type Uploads } from "../components/uploader/uploads";
import type { Store } from "../server/store";
import { KernelConnection } from "./kernel_connection";

/** Return what the page sends to the server of a store, by the way that there is. */
export function uploadsBy(store: Store): Uploads {
  const { server } = store;
  return uploadsOf(store, () => (server instanceof KernelConnection ? byKernel(server) : byHttp(server)));
}
