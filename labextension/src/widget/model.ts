/**
 * The few things the page uses of an anywidget model, and that model as a Port.
 */
import type { Port } from "../core/connection";
import type { Snapshot } from "../core/transport";

interface Traits {
  run_id: string;
  title: string;
  status: string;
  theme: string;
  snapshot: Partial<Snapshot>;
}

export interface Model {
  get<K extends keyof Traits>(name: K): Traits[K];
  send(message: unknown): void;
  on(name: "msg:custom", callback: (message: unknown) => void): void;
  off(name: "msg:custom", callback: (message: unknown) => void): void;
}

export function portOf(model: Model): Port {
  return {
    send: (message) => model.send(message),
    listen(listener) {
      model.on("msg:custom", listener);
      return () => model.off("msg:custom", listener);
    },
    snapshot() {
      const { answer = null, error = null, model: name = null, offline = false } = model.get("snapshot");
      return { title: model.get("title"), status: model.get("status"), answer, error, model: name, offline };
    },
  };
}
