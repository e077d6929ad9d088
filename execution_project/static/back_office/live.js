// Keeps every element with data-live fresh: its content is replaced by what that address answers, every five seconds
// while the page is visible. What cannot be refreshed is marked as not fresh.
(() => {
  "use strict";
  const EVERY_MS = 5000;
  const TIMEOUT_MS = 10000;

  // Replacing what is being pressed, or typed into, would swallow the click.
  const inUse = (place) =>
    place.querySelector(":active") !== null || /^(INPUT|SELECT|TEXTAREA)$/.test(place.contains(document.activeElement) ? document.activeElement.tagName : "");

  const replace = (place, html) => {
    const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const scrolled = [...place.querySelectorAll(".bo-scroll")].map((box) => box.scrollLeft);
    place.innerHTML = html;
    place.querySelectorAll(".bo-scroll").forEach((box, index) => { box.scrollLeft = scrolled[index] || 0; });
    if (focused) {
      const again = [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused);
      if (again) again.focus({ preventScroll: true });
    }
  };

  const refresh = async (place) => {
    if (inUse(place)) return;
    try {
      const answer = await fetch(place.dataset.live, {
        credentials: "same-origin",
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!answer.ok) throw new Error(String(answer.status));
      const html = await answer.text();
      if (!inUse(place)) replace(place, html);
      place.classList.remove("bo-stale");
    } catch {
      place.classList.add("bo-stale");
    }
  };

  const round = async () => {
    if (!document.hidden) {
      await Promise.all([...document.querySelectorAll("[data-live]")].map(refresh));
    }
    window.setTimeout(round, EVERY_MS);
  };

  document.addEventListener("DOMContentLoaded", () => {
    window.setTimeout(round, EVERY_MS);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) document.querySelectorAll("[data-live]").forEach(refresh);
    });
  });
})();
