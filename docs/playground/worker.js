// Python and Graphviz, beside the page: it can be ended where a program does not end.
// In come the parts of Pyodide, then programs; out go what `runner.py` found, as JSON.

// Pyodide refuses workers that have this, and nothing here needs it.
self.importScripts = () => { throw new Error("not here"); };

const script = (text) => import(URL.createObjectURL(new Blob([text], {type: "text/javascript"})));
let run = null;

async function start({parts, texts}) {
  // Nothing is fetched from anywhere: what Pyodide asks for by name is here.
  const kinds = {"pyodide.asm.wasm": "application/wasm"};
  self.fetch = async (address) => {
    const name = String(address).split("/").pop();
    if (!(name in parts)) throw new Error(`there is no ${name} here`);
    return new Response(parts[name], {headers: {"content-type": kinds[name] || ""}});
  };
  (0, eval)(texts["viz-global.js"]);
  const viz = await self.Viz.instance();
  self.graphviz = (source, format) => viz.renderString(source, {format});
  const {loadPyodide} = await script(texts["pyodide.mjs"]);
  const {default: createPyodideModule} = await script(texts["pyodide.asm.mjs"]);
  const python = await loadPyodide({
    createPyodideModule,
    indexURL: "https://parts.invalid/",
    lockFileContents: texts["pyodide-lock.json"],
    packageBaseUrl: "https://parts.invalid/",
  });
  python.unpackArchive(parts["gradloom.zip"], "zip", {extractDir: "/home/pyodide"});
  run = python.pyimport("runner").run;
}

self.onmessage = async ({data}) => {
  try {
    if (data.parts) {
      await start(data);
      self.postMessage({ready: true});
    } else {
      const began = performance.now();
      const {code, settings, view, theme, rankdir} = data;
      const found = JSON.parse(run(code, JSON.stringify(settings), view, theme, rankdir));
      self.postMessage({id: data.id, found, milliseconds: performance.now() - began});
    }
  } catch (error) {
    self.postMessage({id: data.id, failed: String(error)});
  }
};
