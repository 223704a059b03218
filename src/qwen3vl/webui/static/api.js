// Requests to this server, by paths relative to the page, so that it also works below a path of a proxy.

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(body.error?.message ?? `${response.status} ${response.statusText}`, response.status);
}

export async function call(method, path, body, options = {}) {
  const init = { method, ...options };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  return checked(await fetch(path, init));
}

export const get = async (path) => (await call("GET", path)).json();
export const post = async (path, body = {}) => (await call("POST", path, body)).json();
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
        yield JSON.parse(line.slice(6));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export function upload(file, onprogress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `page/files?name=${encodeURIComponent(file.name.slice(-255))}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onprogress(event.loaded / event.total);
    request.onload = () =>
      request.status === 200
        ? resolve(request.response)
        : reject(new ApiError(request.response?.error?.message ?? String(request.status), request.status));
    request.onerror = () => reject(new ApiError("the server does not answer", 0));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
}
