// Replaces the parts of the page that the server has rendered anew. Everything
// works without it; then the page is reloaded.
"use strict";
(() => {
  const address = document.body.dataset.live;
  const state = document.getElementById("live");
  const hold = document.getElementById("hold");
  if (!address || !state || !hold || !window.EventSource) return;

  let source = null;
  let held = false;
  let fresh = false; // the first answer repeats what is there already
  const say = (text, word) => {
    if (state.textContent !== text) state.textContent = text;
    state.dataset.state = word;
  };

  // A form that somebody fills in stays as it is until it is left or empty again.
  const later = new Map();
  const filling = (part) => [...part.querySelectorAll("form")].some((form) => form.contains(document.activeElement) ||
    [...form.elements].some((e) => e.type !== "hidden" && (e.matches("input") && e.value !== e.defaultValue)));
  document.addEventListener("focusout", () => setTimeout(() => {
    const parts = [...later.values()];
    later.clear();
    parts.forEach((next) => { const old = document.getElementById(next.id); if (old) replace(old, next); });
  }));

  // A part keeps what has the focus and what is folded open, as far as it is
  // still there.
  function replace(old, next) {
    if (next.id) later.delete(next.id);
    if (old.isEqualNode(next)) return;
    if (next.id && filling(old)) return void later.set(next.id, next);
    const open = [...old.querySelectorAll("details")].map((d) => d.open);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    next.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? d.open; });
    const again = focused && focused.getAttribute("href");
    old.replaceWith(next);
    if (again) next.querySelector(`a[href="${CSS.escape(again)}"]`)?.focus();
  }

  // Rows are matched by their ids, so that those that stay are left alone.
  function rows(old, next) {
    const known = new Map([...old.children].map((row) => [row.id, row]));
    let at = old.firstElementChild;
    for (const row of [...next.children]) {
      const same = known.get(row.id);
      if (!same) {
        if (fresh) row.classList.add("fresh");
        old.insertBefore(row, at);
        continue;
      }
      known.delete(row.id);
      if (same !== at) old.insertBefore(same, at);
      else at = at.nextElementSibling;
      same.classList.remove("fresh");
      replace(same, row);
    }
    for (const row of known.values()) row.remove();
  }

  function take(text) {
    const parts = new DOMParser().parseFromString(text, "text/html");
    for (const next of parts.querySelectorAll("[data-part]")) {
      const old = document.getElementById(next.id);
      if (!old) continue;
      if ("rows" in next.dataset) rows(old, next);
      else replace(old, next);
    }
    fresh = true;
  }

  function open() {
    if (source || held || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("open", () => say("Live.", "on"));
    source.addEventListener("parts", (event) => take(event.data));
    source.addEventListener("bye", () => say("The process stops. Waiting for it to come back.", "off"));
    source.addEventListener("error", () => {
      if (source && source.readyState === EventSource.CLOSED) say("No updates: there are too many viewers. Reload to see what has changed.", "off");
      else say("No connection: what is shown may be out of date. Trying again.", "off");
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  hold.hidden = false;
  hold.addEventListener("click", () => {
    held = !held;
    hold.textContent = held ? "Go on with updates" : "Pause updates";
    if (held) {
      close();
      say("Updates are paused.", "off");
    } else open();
  });
  // A page that nobody sees takes no connection; browsers have few for a host.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
})();
