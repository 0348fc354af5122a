// One step of an exported model, run for each value that arrives.

const options = new URLSearchParams(location.search);
const ORT = options.get("ort") ?? "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/";
const BEHIND = 180;
const EACH_MS = 40;

const element = (id) => document.getElementById(id);
const status = (text) => { element("status").textContent = text; };

/** A model's step: `await step(value, states)` gives `[predictions, newStates]`. */
async function load() {
  const ort = await import(new URL("ort.wasm.min.mjs", new URL(ORT, location)).href);
  ort.env.wasm.wasmPaths = new URL(ORT, location).href;
  // Several threads need headers that plain file servers don't send.
  ort.env.wasm.numThreads = 1;
  const about = await (await fetch("step.json")).json();
  const session = await ort.InferenceSession.create("step.onnx");
  const [input, ...stateNames] = session.inputNames;
  const [output, ...newStateNames] = session.outputNames;
  const begin = () => about.states.map(
    ({ shape, values }) => new ort.Tensor("float32", Float32Array.from(values), shape));
  const step = async (value, states) => {
    const feeds = { [input]: new ort.Tensor("float32", [value], [1, 1]) };
    stateNames.forEach((name, i) => { feeds[name] = states[i]; });
    const found = await session.run(feeds);
    return [found[output].data, newStateNames.map((name) => found[name])];
  };
  return { step, begin, check: about.check };
}

/** The largest difference from the model's own last predictions, and steps a second. */
async function check({ step, begin, check: { inputs, outputs } }) {
  let states = begin();
  let largest = 0;
  let predictions;
  const start = performance.now();
  for (const [i, value] of inputs.entries()) {
    [predictions, states] = await step(value, states);
    const expected = outputs[i - inputs.length + outputs.length] ?? [];
    expected.forEach((x, j) => { largest = Math.max(largest, Math.abs(predictions[j] - x)); });
  }
  const seconds = (performance.now() - start) / 1000;
  return { largest, steps: inputs.length, perSecond: inputs.length / seconds };
}

function draw(behind, ahead) {
  const canvas = element("canvas");
  const context = canvas.getContext("2d");
  const x = (i) => (i / (BEHIND + ahead.length)) * canvas.width;
  const y = (value) => (0.5 - 0.45 * value) * canvas.height;
  const line = (values, first, color) => {
    context.strokeStyle = getComputedStyle(element(color)).color;
    context.lineWidth = 2;
    context.beginPath();
    values.forEach((value, i) => context.lineTo(x(first + i), y(value)));
    context.stroke();
  };
  context.clearRect(0, 0, canvas.width, canvas.height);
  line(behind, BEHIND - behind.length, "seen");
  line([behind.at(-1), ...ahead], BEHIND - 1, "ahead");
}

/** Values of the wave, or of the mouse while it is pressed on the canvas. */
function makeSource() {
  const canvas = element("canvas");
  let phase = 0;
  let drawn = null;
  const read = (event) => {
    const box = canvas.getBoundingClientRect();
    drawn = (0.5 - (event.clientY - box.top) / box.height) / 0.45;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    read(event);
  });
  canvas.addEventListener("pointermove", (event) => { if (drawn !== null) read(event); });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => { drawn = null; });
  }
  return () => {
    phase += (2 * Math.PI) / element("period").valueAsNumber;
    if (drawn !== null) return drawn;
    return 0.5 * Math.sin(phase) + (element("noise").valueAsNumber / 100) * (2 * Math.random() - 1);
  };
}

async function play({ step, begin }) {
  const next = makeSource();
  const behind = [];
  let states = begin();
  let ahead;
  for (;;) {
    const due = performance.now() + EACH_MS;
    const value = next();
    [ahead, states] = await step(value, states);
    behind.push(value);
    if (behind.length > BEHIND) behind.shift();
    draw(behind, ahead);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
  }
}

async function start() {
  element("start").disabled = true;
  status("loading the runtime …");
  const model = await load();
  const found = await check(model);
  status(`${found.steps} steps, as in Keras to ${found.largest.toExponential(1)}; `
    + `${Math.round(found.perSecond)} steps a second`);
  if (options.has("report")) {
    await fetch(options.get("report"), { method: "POST", body: JSON.stringify(found) });
  }
  await play(model);
}

const begin = () => start().catch((error) => {
  status(`${error}`);
  if (options.has("report")) {
    fetch(options.get("report"), { method: "POST", body: JSON.stringify({ error: `${error}` }) });
  }
});
element("start").addEventListener("click", begin);
if (options.has("report")) begin();
else status(`fetches onnxruntime-web, 14 MB, from ${new URL(ORT, location).host}`);
