// The page of a board: its table chooses what its chart draws.
(function () {
  "use strict";
  const { element, record, runOf } = neurofit;
  const { swatch } = neurofit.charts;
  const SHOWN = 8; // boxes at least, for as many runs
  const DRAWN = 4; // curves to begin with
  const host = document.getElementById("models");
  const table = document.querySelector("table.runs");
  const pieces = neurofit.tables.get(table.dataset.board);
  const onMs = parseFloat(document.getElementById("board").dataset.onMs);
  const runs = new Map(pieces.api.rows({ order: "index" }).nodes().toArray().map((row) => [row.dataset.run, runOf(row)]));
  const looks = new Map();
  const boxes = new Map();
  let turn = 0;

  const chosenNow = () => [...runs.keys()].filter((id) => pieces.chosen.has(id));
  const label = (run) => run.model + ", " + run.layer + run.note;
  const lookOf = (id) => {
    if (!looks.has(id)) looks.set(id, looks.size);
    return looks.get(id);
  };

  function addBox(id, on) {
    const input = element("input", { type: "checkbox", checked: on });
    input.addEventListener("change", () => pieces.choose(id, input.checked));
    const text = element("bdi", { title: label(runs.get(id)) }, label(runs.get(id)));
    const mark = element("span", { class: "look" }, swatch(lookOf(id)));
    host.append(element("label", { class: "model" }, input, mark, text));
    boxes.set(id, { input, mark });
  }

  async function redraw(chosen) {
    const mine = ++turn;
    for (const id of chosen) if (!boxes.has(id)) addBox(id, true);
    for (const [id, { input, mark }] of boxes) {
      input.checked = chosen.includes(id);
      mark.replaceChildren(swatch(lookOf(id)));
    }
    const kind = document.querySelector("input[name=values]:checked").value;
    const settings = { kind, onMs, bands: document.getElementById("bands").checked, ceiling: document.getElementById("ceiling").checked };
    try {
      const found = await Promise.all(chosen.map(async (id) => ({ label: label(runs.get(id)), n: lookOf(id), record: await record(id) })));
      if (mine === turn) neurofit.courses.course("course", found, settings); // a later choice may have been faster
      if (found.length) neurofit.charts.offerKinds(found.map((each) => each.record));
      document.documentElement.dataset.drawn = String(turn);
    } catch (error) {
      if (mine === turn) neurofit.charts.empty("course", error.message + ".");
    }
  }

  for (const id of [...runs.keys()].slice(0, SHOWN)) addBox(id, false);
  document.querySelector(".hint").hidden = runs.size <= SHOWN;
  pieces.listeners.push(redraw);
  for (const input of document.querySelectorAll(".controls input")) input.addEventListener("change", () => redraw(chosenNow()));
  document.addEventListener("neurofit:theme", () => redraw(chosenNow()));
  const begin = [...runs.keys()].slice(0, DRAWN);
  for (const id of begin.slice(0, -1)) pieces.chosen.add(id);
  for (const row of pieces.api.rows().nodes().toArray()) row.querySelector("input").checked = pieces.chosen.has(row.dataset.run);
  if (begin.length) pieces.choose(begin[begin.length - 1], true);
  else neurofit.charts.empty("course", "This board has no runs.");
})();
