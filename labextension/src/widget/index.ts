/**
 * The run widget's page half: an anywidget whose model carries the messages of one run.
 *
 * The connection belongs to the model, not to a view, so that a second view of the same run has everything at once and
 * a view keeps its tree when the kernel is gone. `initialize` only sets up listeners: a host waits two seconds for it
 * and loses every later message if that is not enough.
 */
import { Connection } from "../core/connection";
import { mount, type Theme } from "../ui/App";
import "../ui/style.css";
import { portOf, type Model } from "./model";

interface Context {
  model: Model;
  signal?: AbortSignal;
}

export default () => {
  // By run, because some hosts evaluate a module once for all of its widgets.
  const connections = new Map<string, Connection>();

  const connect = (model: Model, signal: AbortSignal | undefined): (() => void) => {
    const run = model.get("run_id");
    const connection = new Connection(portOf(model));
    const onVisible = () => document.visibilityState === "visible" && connection.hello();
    document.addEventListener("visibilitychange", onVisible);
    connections.set(run, connection);
    const close = () => {
      document.removeEventListener("visibilitychange", onVisible);
      connections.delete(run);
      connection.close();
    };
    signal?.addEventListener("abort", close, { once: true });
    return close;
  };

  return {
    initialize: ({ model, signal }: Context) => connect(model, signal),

    render({ model, el, signal }: Context & { el: HTMLElement }) {
      const connection = connections.get(model.get("run_id"));
      if (!connection) {
        throw new Error("fleet-rlm: this host shows a widget it has not initialized");
      }
      const unmount = mount(el, connection, model.get("theme") as Theme);
      signal?.addEventListener("abort", unmount, { once: true });
      return unmount;
    },
  };
};
