// The live stream: server-sent events read with fetch (EventSource cannot send the token), with resume.
//
// The server sends something at least every 5 s. When nothing comes for longer, or the connection ends, the page is
// told at once, and tries again with growing pauses, from the last event it saw.

import { headers } from "./api.js";

const SILENCE_MS = 12_000;
const PAUSES_MS = [300, 1000, 2000, 4000, 8000];
const BUFFER_CHARS = 32 * 1024 * 1024;

/** Reads the stream until `stop`: `on.event(name, data)`, `on.live(true|false)`, `on.refused(status)` ends it. */
export class Stream {
  constructor(units, on) {
    this.query = units.map((unit) => `unit=${encodeURIComponent(unit)}`).join("&");
    this.on = on;
    this.last = null;
    this.stopped = false;
    this.tries = 0;
    this.heard = 0;
    this.wake = null;
    this.back = () => this.wake?.();
    this.cut = () => this.abort?.abort();
    addEventListener("online", this.back);
    addEventListener("offline", this.cut);
  }

  /** Runs until `stop`, or until the server refuses the token. */
  async run() {
    while (!this.stopped) {
      const status = await this.once();
      if (this.stopped) return;
      this.on.live(false);
      if (status === 401 || status === 403) {
        this.stop();
        this.on.refused(status);
        return;
      }
      const pause = PAUSES_MS[Math.min(this.tries++, PAUSES_MS.length - 1)];
      await this.rest(pause * (0.75 + Math.random() / 2)); // not all screens of a house at the same instant
    }
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
    this.wake?.();
    removeEventListener("online", this.back);
    removeEventListener("offline", this.cut);
  }

  rest(ms) {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }

  /** One connection; the status that refused it, 0 where it was lost. */
  async once() {
    this.abort = new AbortController();
    this.heard = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - this.heard > SILENCE_MS) this.abort.abort();
    }, 1000);
    try {
      const answer = await fetch(`/v1/board/stream${this.query && `?${this.query}`}`, {
        headers: { ...headers(), Accept: "text/event-stream", ...(this.last && { "Last-Event-ID": this.last }) },
        cache: "no-store",
        signal: this.abort.signal,
      });
      if (!answer.ok) return answer.status;
      await this.read(answer.body.getReader());
      return 0;
    } catch {
      return 0;
    } finally {
      clearInterval(watch);
      this.abort.abort();
    }
  }

  async read(reader) {
    const decoder = new TextDecoder();
    let parts = [];
    let size = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heard = performance.now();
      const text = decoder.decode(value, { stream: true });
      parts.push(text);
      size += text.length;
      if (size > BUFFER_CHARS) throw new Error("an event without an end");
      // A large event comes in many chunks: they are joined only when a chunk may end one.
      if (!text.includes("\n")) continue;
      const events = parts.join("").replaceAll("\r\n", "\n").split("\n\n");
      parts = [events.pop()];
      size = parts[0].length;
      for (const event of events) this.tell(event);
    }
  }

  tell(text) {
    let name = "message";
    let id = null;
    const data = [];
    for (const line of text.split("\n")) {
      if (line.startsWith("data:")) data.push(line.slice(5));
      else if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("id:")) id = line.slice(3).trim();
    }
    if (data.length === 0 || this.stopped) return;
    this.on.event(name, JSON.parse(data.join("\n")));
    if (id !== null) this.last = id; // only now: what was not taken in is asked for again
    this.tries = 0;
    this.on.live(true);
  }
}
