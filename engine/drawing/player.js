// Starts every player of the page that does not run yet; its picture is there as SVG by then. Texts
// are only ever moved about as nodes, or set as text: nothing here makes markup of them.
(() => {
  const slowest = 4000; // milliseconds a step

  function start(root) {
    root.dataset.ready = "";
    const find = (selector) => root.querySelector(selector);
    const given = find("script[type='application/json']").textContent;
    const { arrows, steps, controls } = JSON.parse(given);
    const view = find(".gl-view"), list = find(".gl-all");
    list.insertAdjacentHTML("beforebegin", controls);
    const boxes = [...root.querySelectorAll(".gl-box")];
    const curves = [...root.querySelectorAll(".gl-arrow")];
    const notes = [...root.querySelectorAll(".gl-note")];
    const items = [...root.querySelectorAll(".gl-all li")];
    const [first, back, play, forth, last] = root.querySelectorAll(".gl-controls button");
    const place = find(".gl-place"), speed = find(".gl-speed input");
    const panels = [...root.querySelectorAll(".gl-panel")];
    const data = boxes.map((box) => box.querySelector(".gl-data"));
    const grads = boxes.map((box) => box.querySelector(".gl-grad"));
    const computedAt = boxes.map(() => 0);
    steps.forEach((step, k) => {
      if (step.phase === "forward") for (const b of step.boxes) computedAt[b] = k;
    });
    let at = 0, timer = null;

    function show(k) {
      at = Math.max(0, Math.min(steps.length - 1, k));
      const step = steps[at], now = new Set(step.boxes), near = new Set();
      root.dataset.phase = step.phase;
      const used = new Set(step.arrows.map(([arrow]) => arrow));
      if (step.phase === "forward") {
        arrows.forEach(([, target], a) => now.has(target) && used.add(a));
      }
      for (const a of used) near.add(arrows[a][0]);
      const shown = boxes.map(() => "");
      for (let i = 0; i <= at; i++) for (const [b, text] of steps[i].grads) shown[b] = text;
      const changed = new Set(step.grads.map(([b]) => b));
      boxes.forEach((box, b) => {
        const later = computedAt[b] > at;
        box.classList.toggle("is-later", later);
        box.classList.toggle("is-now", now.has(b));
        box.classList.toggle("is-near", near.has(b) && !now.has(b));
        if (data[b]) {
          data[b].style.visibility = later ? "hidden" : "";
          data[b].classList.toggle("gl-changed", step.phase === "forward" && now.has(b));
        }
        if (grads[b]) {
          grads[b].textContent = shown[b];
          grads[b].classList.toggle("gl-changed", changed.has(b));
        }
      });
      curves.forEach((curve, a) => {
        curve.classList.toggle("is-now", used.has(a));
        curve.classList.toggle("is-later", computedAt[arrows[a][1]] > at);
        notes[a].textContent = "";
      });
      for (const [a, text] of step.arrows) notes[a].textContent = text;
      panels.forEach((panel, i) => (panel.hidden = i !== at));
      items.forEach((item, i) => {
        if (i === at) item.setAttribute("aria-current", "step");
        else item.removeAttribute("aria-current");
      });
      find(".gl-now").replaceChildren(...[...items[at].childNodes].map((node) => node.cloneNode(true)));
      find(".gl-count").textContent = `${at + 1} / ${steps.length}`;
      place.value = at;
      const title = items[at].querySelector(".gl-title").textContent;
      place.setAttribute("aria-valuetext", `Step ${at + 1} of ${steps.length}: ${title}`);
      // not `disabled`, which would take the focus, and with it the keyboard, away
      for (const button of [first, back]) button.setAttribute("aria-disabled", at === 0);
      for (const button of [forth, last]) button.setAttribute("aria-disabled", at === steps.length - 1);
      const lines = find(".gl-all ol");
      lines.scrollTop = items[at].offsetTop - lines.offsetTop - lines.clientHeight / 3;
      if (now.size) follow(now, near);
    }

    // Scrolls the graph, and nothing else of the page, so that what happens is in sight: with what
    // it is computed from, where there is room.
    function follow(now, near) {
      const places = (some) => [...some].map((b) => boxes[b].getBoundingClientRect());
      const frame = view.getBoundingClientRect();
      const [here, all] = [places(now), places([...now, ...near])];
      const beyond = (low, high, size) => {
        const span = (some) =>
          [Math.min(...some.map((p) => p[low])), Math.max(...some.map((p) => p[high]))];
        let [from, to] = span(all);
        if (to - from > frame[size]) [from, to] = span(here);
        const inside = from >= frame[low] && to <= frame[high];
        return inside ? 0 : (from + to - frame[low] - frame[high]) / 2;
      };
      view.scrollLeft += beyond("left", "right", "width");
      view.scrollTop += beyond("top", "bottom", "height");
    }

    function run(on) {
      clearTimeout(timer);
      timer = on ? setTimeout(tick, slowest / 2 ** Number(speed.value)) : null;
      play.setAttribute("aria-label", on ? "Pause" : "Play");
      play.classList.toggle("is-playing", on);
      play.querySelector("path").setAttribute("d", on ? "M6 4h4v16H6zM14 4h4v16h-4z" : "M7 4v16l13-8z");
    }

    function tick() {
      if (!root.isConnected || at === steps.length - 1) return run(false);
      show(at + 1);
      run(at < steps.length - 1);
    }

    function toggle() {
      if (timer !== null) return run(false);
      show(at === steps.length - 1 ? 0 : at + 1);
      run(at < steps.length - 1);
    }

    function go(k) {
      run(false);
      show(k);
    }

    first.addEventListener("click", () => go(0));
    back.addEventListener("click", () => go(at - 1));
    play.addEventListener("click", toggle);
    forth.addEventListener("click", () => go(at + 1));
    last.addEventListener("click", () => go(steps.length - 1));
    place.addEventListener("input", () => go(Number(place.value)));
    items.forEach((item, i) => item.addEventListener("click", () => go(i)));
    const listener = root.closest(".gradloom-page") ?? root; // in a page of its own all keys are its
    listener.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target === speed) return;
      const onButton = event.target.matches("button, summary");
      const act = {
        ArrowLeft: () => go(at - 1),
        ArrowRight: () => go(at + 1),
        Home: () => go(0),
        End: () => go(steps.length - 1),
        " ": onButton ? null : toggle,
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation(); // the notebook has a meaning of its own for these keys
      act();
    });
    list.removeAttribute("open");
    place.max = steps.length - 1;
    show(0);
  }

  for (const root of document.querySelectorAll(".gradloom-player:not([data-ready])")) start(root);
})();
