// Sends files with tus-js-client, as tests/handlers/test_upload_clients.py asks, and prints what came of it as JSON.

import { createRequire } from "node:module";
import fs from "node:fs";

const [, , packages, endpoint, token, path, way] = process.argv;
const { Upload } = createRequire(packages)("tus-js-client");
const size = fs.statSync(path).size;
const headers = { Authorization: `token ${token}` };

/** Send the file; with `stopAt`, break off when so many bytes were sent: in small pieces, so that not all is sent then. */
function send({ stopAt = Infinity, sha1, from, ...options }) {
  return new Promise((resolve, reject) => {
    let sent = 0;
    const metadata = { filename: "mäuse.mp4", filetype: "video/mp4", ...(sha1 ? { sha1 } : {}) };
    const upload = new Upload(from ?? fs.createReadStream(path), {
      endpoint,
      headers,
      metadata,
      uploadSize: size,
      chunkSize: stopAt < Infinity ? 1 << 20 : Infinity,
      retryDelays: Array(50).fill(100),
      onProgress: (done) => {
        sent = Math.max(sent, done);
        if (done >= stopAt) void upload.abort().then(() => resolve({ url: upload.url, sent }));
      },
      onError: reject,
      onSuccess: ({ lastResponse }) =>
        resolve({ url: upload.url, sent, fileId: lastResponse.getHeader("Dlc-File-Id") }),
      ...options,
    });
    upload.start();
  });
}

const ways = {
  stream: () => send({}),
  chunks: () => send({ chunkSize: 2 << 20 }),
  "with the creation": () => send({ chunkSize: 2 << 20, uploadDataDuringCreation: true }),
  "by POST": () => send({ overridePatchMethod: true }),
  "known already": () => send({ sha1: process.argv[7], from: fs.readFileSync(path) }),
  "broken off": async () => {
    const first = await send({ stopAt: size / 3 });
    const second = await send({ uploadUrl: first.url });
    return { ...second, sameUrl: first.url === second.url };
  },
  "given up": async () => {
    const { url } = await send({ stopAt: size / 3 });
    await Upload.terminate(url, { headers, retryDelays: Array(50).fill(100) });
    return { url };
  },
};

console.log(JSON.stringify(await ways[way]()));
