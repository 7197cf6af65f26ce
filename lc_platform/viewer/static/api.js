// The server's answers. Every address is relative to the page, below whatever path it is served.

/** What the server says is wrong, in its own sentence. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Return the absolute address of a path, with a query of what is not null or empty. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") {
      url.searchParams.set(name, value);
    }
  }
  return url.href;
}

/** Return the JSON of a path. Raises ApiError with a sentence that a person can use. */
export const get = async (path, query, signal) => (await answered(path, query, signal)).json();

/** Return the text of a path, likewise. */
export const getText = async (path, query, signal) => (await answered(path, query, signal)).text();

async function answered(path, query, signal) {
  let response;
  try {
    response = await fetch(address(path, query), { signal, cache: "no-cache" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is `lc-platform map` still running?", 0);
  }
  if (response.ok) return response;
  throw new ApiError(await sentence(response), response.status);
}

/** Return what a failed response says. */
export async function sentence(response) {
  try {
    const { detail } = JSON.parse(await response.text());
    if (typeof detail === "string") return detail;
    if (Array.isArray(detail)) return detail.map((one) => one.msg).join("; ");
  } catch {
    // A proxy's page of an error is no JSON; its status says what there is to say.
  }
  return `The server answered with status ${response.status}.`;
}

/** Return a function like `get` of which only the last call counts: earlier ones are aborted. */
export function latest() {
  let running = null;
  return async (path, query) => {
    running?.abort();
    const mine = (running = new AbortController());
    return get(path, query, mine.signal);
  };
}

/** Return the sentence of an answer's error; what is no answer's error is a mistake of this page. */
export function worded(error) {
  if (!(error instanceof ApiError)) throw error;
  return error.message;
}

/** Whether an error only says that a newer request took the place of this one. */
export const isAborted = (error) => error.name === "AbortError";

/** Return the pattern of a layer's tiles, for MapLibre, with what of the state the layer takes. */
export function tilesOf(layer, chosen) {
  const takes = new Set(layer.takes);
  const query = {};
  for (const name of ["classes", "acquisition", "month", "from"]) {
    if (takes.has(name) && chosen[name]) query[name] = chosen[name];
  }
  if (query.acquisition) delete query.month;
  if (query.classes === "none") query.classes = "0";
  return address(layer.tiles, query).replaceAll("%7B", "{").replaceAll("%7D", "}");
}
