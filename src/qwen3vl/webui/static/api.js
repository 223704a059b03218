// Requests to this server, by paths relative to the page, so that it also works below a path of a proxy.

export class ApiError extends Error {
  constructor(message, status, code = null) {
    super(message);
    Object.assign(this, { status, code });
  }
}

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw errorOf(body, response.status, response.statusText);
}

const errorOf = (body, status, words = "") => new ApiError(body?.error?.message ?? `${status} ${words}`.trim(), status, body?.error?.code);

export async function call(method, path, body, options = {}) {
  const init = { method, ...options };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  return checked(await fetch(path, init));
}

export const get = async (path) => (await call("GET", path)).json();
export const post = async (path, body = {}, options = {}) => (await call("POST", path, body, options)).json();
export const patch = async (path, body) => (await call("PATCH", path, body)).json();
export const remove = async (path, options) => (await call("DELETE", path, undefined, options)).json();

// The data of server-sent events, until [DONE]. One that breaks off before raises.
export async function* events(path, { method = "GET", body, signal } = {}) {
  const response = await call(method, path, body, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new ApiError("the stream broke off", 0);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: ")) continue;
        if (line === "data: [DONE]") return;
        const event = JSON.parse(line.slice(6));
        if (event.error?.message) throw errorOf(event, 0); // one that came after the stream had begun
        yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export function upload(file, onprogress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `page/files?name=${encodeURIComponent(file.name.slice(-255))}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onprogress(event.loaded / event.total);
    request.onload = () =>
      request.status === 200
        ? resolve(request.response)
        : reject(errorOf(request.response, request.status));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.onerror = () => reject(new ApiError("the server does not answer", 0));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
}
