// The page: a text to edit, the graph of it, sliders for its inputs, and a worker that runs it.
"use strict";

const $ = (id) => document.getElementById(id);
const WAIT = 350;  // ms after the last key, before it runs
const SMALLEST = 0.8;  // of the size that a graph has by itself
const PATIENCE = 1500;  // ms, after which a program may be stopped
let worker = null, ready = false, running = null, waiting = null, count = 0;
let settings = {}, view = "picture", timer = null, patience = null;

// --- the worker ---------------------------------------------------------------------------------

const bytes = async (name) => {
  const packed = Uint8Array.from(atob(PARTS[name]), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const TEXTS = ["worker.js", "viz-global.js", "pyodide.mjs", "pyodide.asm.mjs", "pyodide-lock.json"];
const unpacked = Promise.all(Object.keys(PARTS).map(async (name) => {
  const content = await bytes(name);
  return [name, TEXTS.includes(name) ? new TextDecoder().decode(content) : content];
})).then(Object.fromEntries);

async function start() {
  ready = false;
  say("Python is starting …");
  const all = await unpacked, parts = {}, texts = {};
  for (const [name, content] of Object.entries(all)) (TEXTS.includes(name) ? texts : parts)[name] = content;
  worker = new Worker(URL.createObjectURL(new Blob([texts["worker.js"]], {type: "text/javascript"})));
  worker.onmessage = ({data}) => answer(data);
  worker.onerror = (event) => say(`The page can't run Python here: ${event.message}`, true);
  worker.postMessage({parts, texts});
}

function answer(data) {
  if (data.ready) {
    ready = true;
    if (waiting === null) say("Python is ready.");
  } else if (data.id !== running) {
    return;
  } else if (data.failed) {
    say(data.failed, true);
  } else {
    show(data.found, data.milliseconds);
  }
  running = null;
  clearTimeout(patience);
  $("stop").hidden = true;
  next();
}

const request = () => ({
  code: $("code").value, settings, view,
  theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
  rankdir: matchMedia("(max-width: 760px)").matches ? "TB" : "LR",  // a phone is higher than wide
});

function next() {
  if (ready && running === null && waiting !== null) {
    running = ++count;
    worker.postMessage({id: running, ...waiting});
    waiting = null;
    patience = setTimeout(() => { $("stop").hidden = false; say("still running …"); }, PATIENCE);
  }
  tell();
}

function tell() {  // whether what is shown is of the text as it stands
  document.body.toggleAttribute("data-busy", timer !== null || running !== null || waiting !== null);
}

function go() {  // of several requests while one runs, the last counts
  clearTimeout(timer);
  timer = null;
  waiting = request();
  next();
}

$("stop").onclick = () => {
  worker.terminate();
  running = waiting = null;
  $("stop").hidden = true;
  start();
  say("Stopped. Python starts anew, and waits for another program.", true);
};

// --- what there is to see -----------------------------------------------------------------------

function say(text, isError = false) {
  $("said").textContent = text;
  $("said").className = isError ? "error" : "";
}

function show(found, milliseconds) {
  document.body.dataset.runs = count;
  const error = found.error;
  mark(error ? error.line : null);
  $("printed").textContent = found.printed;
  $("printed").hidden = !found.printed;
  if (error) {
    const place = error.line ? `line ${error.line}: ` : "";
    say(`${place}${error.kind}${error.text ? `: ${error.text}` : ""}`, true);
    return;  // what was drawn stays
  }
  const what = [found.result === undefined ? "Done" : found.name + found.result];
  what.push(`in ${milliseconds.toFixed(0)} ms`, ...(found.note ? [found.note] : []));
  if (found.result === undefined && !found.shown && !found.printed) what.push("no Value to draw: end with one, such as y");
  say(what.join(", "));
  if (found.picture) draw(found.picture);
  if (found.player) $("player").srcdoc = found.player;
  $("picture").hidden = view !== "picture" || !found.picture;
  $("player").hidden = view !== "player" || !found.player;
  $("shown").hidden = !found.shown;
  if (found.shown) $("shown").innerHTML = found.shown;
  sliders(found.leaves);
}

function draw(picture) {  // as wide as there is room, but its texts are never too small to read
  $("picture").innerHTML = picture.slice(picture.indexOf("<svg"));
  const svg = $("picture").firstElementChild, whole = svg.width.baseVal.value;
  svg.style.width = `max(${SMALLEST * whole}px, min(100%, ${whole}px))`;
}

function mark(line) {  // the line of an error, behind the text
  const lines = $("code").value.split("\n").length;
  $("lines").replaceChildren(...Array.from({length: lines}, (_, k) => {
    const number = document.createElement("div");
    number.textContent = k + 1;
    if (k + 1 === line) number.className = "wrong";
    return number;
  }));
  $("lines").scrollTop = $("code").scrollTop;
}

function sliders(leaves) {
  const names = JSON.stringify(leaves.map((leaf) => [leaf.label, leaf.was]));
  if ($("leaves").dataset.names !== names) {
    $("leaves").dataset.names = names;
    $("leaves").replaceChildren(...leaves.map((leaf) => slider(leaf)));
  }
  for (const leaf of leaves) {
    const row = [...$("leaves").children].find((child) => child.dataset.label === leaf.label);
    row.querySelector("output").textContent = short(leaf.data);
    row.querySelector(".grad").textContent = `grad ${short(leaf.grad)}`;
  }
}

function short(number) {
  if (typeof number === "string") return number;  // inf, nan
  const size = Math.abs(number), plain = size === 0 || (size >= 1e-3 && size < 1e4);
  return (plain ? number.toPrecision(4) : number.toExponential(2)).replaceAll("-", "−");
}

function slider(leaf) {
  const row = document.createElement("label"), bar = document.createElement("input");
  const reach = Math.max(2, 2 * Math.abs(leaf.was));
  row.dataset.label = leaf.label;
  row.innerHTML = '<span class="name"></span><output></output><span class="grad"></span>';
  row.querySelector(".name").textContent = leaf.label;
  const step = 10 ** Math.floor(Math.log10(reach / 100));  // round numbers are reached
  Object.assign(bar, {type: "range", min: leaf.was - reach, max: leaf.was + reach, step,
    value: leaf.data, disabled: !isFinite(leaf.was)});
  bar.oninput = () => { settings[leaf.label] = +bar.value; go(); };
  bar.ondblclick = () => { delete settings[leaf.label]; bar.value = leaf.was; go(); };
  bar.title = "double click: back to the program's number";
  row.querySelector(".name").after(bar);
  return row;
}

// --- the text -----------------------------------------------------------------------------------

const packed = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)))
  .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const opened = (text) => new TextDecoder().decode(Uint8Array.from(
  atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0)));

function edit(text) {
  $("code").value = text;
  settings = {};
  mark(null);
  go();
}

$("code").oninput = () => {
  settings = {};
  mark(null);
  clearTimeout(timer);
  timer = setTimeout(go, WAIT);
  tell();
};
$("code").onscroll = () => { $("lines").scrollTop = $("code").scrollTop; };
$("code").onkeydown = (event) => {
  const {selectionStart: at, selectionEnd: to, value} = $("code");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    go();
  } else if (event.key === "Tab" && !event.shiftKey) {
    $("code").setRangeText("    ", at, to, "end");
  } else if (event.key === "Enter") {  // as deep as the line before, deeper after a colon
    const line = value.slice(value.lastIndexOf("\n", at - 1) + 1, at);
    const indent = /^ */.exec(line)[0] + (line.trimEnd().endsWith(":") ? "    " : "");
    $("code").setRangeText("\n" + indent, at, to, "end");
    $("code").oninput();
  } else {
    return;
  }
  event.preventDefault();
};
$("run").onclick = go;
$("share").onclick = async () => {
  location.hash = `code=${packed($("code").value)}`;
  try {
    await navigator.clipboard.writeText(location.href);
    say("The address of this program is in the clipboard.");
  } catch {
    say("The address of this page now has the program in it.");
  }
};
for (const button of document.querySelectorAll("[data-view]")) {
  button.onclick = () => {
    view = button.dataset.view;
    for (const other of document.querySelectorAll("[data-view]")) {
      other.setAttribute("aria-pressed", other === button);
    }
    go();
  };
}
$("examples").append(...EXAMPLES.map(({title}, k) => new Option(title, k)));
$("examples").onchange = () => edit(EXAMPLES[$("examples").value].code);
matchMedia("(prefers-color-scheme: dark)").onchange = go;

let first = EXAMPLES[0].code;
const shared = /^#code=(.+)$/.exec(location.hash);
try {
  if (shared) first = opened(shared[1]);
} catch {
  first = "# The address holds no whole program: was it cut off?\n";
}
edit(first);
start();
