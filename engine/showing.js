// Puts every drawing that stands in the page as an image there as itself, so that one can hover and
// select, with its dark colours where the page is dark. The SVG is parsed as XML: no script runs.
(() => {
  const scheme = `
    .gradloom-still { color-scheme: light dark; }
    body[data-jp-theme-light="true"] .gradloom-still, body.vscode-light .gradloom-still
    { color-scheme: light; }
    body[data-jp-theme-light="false"] .gradloom-still, body.vscode-dark .gradloom-still
    { color-scheme: dark; }`;
  for (const image of document.querySelectorAll("img.gradloom-still[data-dark]")) {
    const bytes = Uint8Array.from(atob(image.src.split(",")[1]), (c) => c.charCodeAt(0));
    const text = new TextDecoder().decode(bytes);
    const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    if (parsed.localName !== "svg") continue;
    const svg = document.importNode(parsed, true);
    const dark = JSON.parse(image.dataset.dark);
    for (const part of svg.querySelectorAll(".gl-image-only")) part.remove();
    for (const part of svg.querySelectorAll("[fill], [stroke]")) {
      for (const role of ["fill", "stroke"]) {
        const light = part.getAttribute(role);
        if (light in dark) part.style[role] = `light-dark(${light}, ${dark[light]})`;
      }
    }
    if (Object.keys(dark).length) {
      svg.classList.add("gradloom-still");
      svg.append(Object.assign(document.createElement("style"), { textContent: scheme }));
    }
    const { liveClass, liveStyle } = svg.dataset;
    if (liveClass) svg.setAttribute("class", liveClass);
    svg.style.cssText = liveStyle || image.style.cssText;
    image.replaceWith(svg);
  }
})();
