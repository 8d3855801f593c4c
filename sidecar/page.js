"use strict";
(() => {
  const PERIOD = 5000;
  const UNITS = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  const news = document.getElementById("news");
  const all = (selector) => document.querySelectorAll(selector);
  const headline = () => document.querySelector("h1").textContent;
  let came = performance.now();

  const duration = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    for (const [size, unit, smaller, below] of UNITS) {
      if (whole < size) continue;
      const rest = Math.floor((whole % size) / smaller);
      return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${below}` : ""}`;
    }
    return `${whole} s`;
  };

  const count = () => {
    const now = Number(document.querySelector("main").dataset.now) + (performance.now() - came) / 1000;
    for (const each of all("[data-until]")) each.textContent = duration(each.dataset.until - now);
    for (const each of all("[data-since]")) each.textContent = duration(now - each.dataset.since);
    for (const each of all("[data-to]")) {
      const { from, to } = each.dataset;
      each.setAttribute("width", (1000 * Math.min(1, Math.max(0, (to - now) / (to - from || 1)))).toFixed(1));
    }
  };

  const show = (page) => {
    const before = headline();
    document.title = page.title;
    for (const part of ["main", "link[rel=icon]"]) {
      document.querySelector(part).replaceWith(page.querySelector(part));
    }
    came = performance.now();
    if (document.body.classList.toggle("lost", false)) return;
    if (headline() !== before || news.textContent) news.textContent = headline();
  };

  const lose = () => {
    if (document.body.classList.contains("lost")) return;
    document.body.classList.add("lost");
    document.title = "no answer – credential-sidecar";
    news.textContent = "The sidecar does not answer. What is below was so when it last did.";
  };

  // While somebody is selecting text the page stays as it is; while nobody looks, nothing is asked.
  const renew = async () => {
    if (document.hidden || !getSelection().isCollapsed) return;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(PERIOD) });
      if (!answer.ok) throw new Error(answer.status);
      const text = await answer.text();
      if (getSelection().isCollapsed) show(new DOMParser().parseFromString(text, "text/html"));
    } catch {
      lose();
    }
  };

  setInterval(count, 1000);
  setInterval(renew, PERIOD);
  document.addEventListener("visibilitychange", renew);
})();
