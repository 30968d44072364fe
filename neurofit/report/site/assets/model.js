// The page of a model: its layers on one board at a time.
(function () {
  "use strict";
  const { element, record } = neurofit;
  const rows = [...document.querySelectorAll("#table tr[data-run]")].map((row) => row.dataset);
  const board = document.getElementById("board");
  if (!board) return;
  const [host, run, bin] = ["models", "run", "bin"].map((id) => document.getElementById(id));
  let turn = 0;

  const here = () => rows.filter((row) => row.board === board.value);
  const kind = () => document.querySelector("input[name=values]:checked").value;

  function offer() {
    const runs = here();
    host.replaceChildren(...runs.map(function (row, n) {
      const input = element("input", { type: "checkbox", value: row.run, checked: n < 6 });
      input.addEventListener("change", redraw);
      return element("label", { class: "model" }, input, element("span", { class: "look" }, neurofit.charts.swatch(n)), element("bdi", {}, row.layer));
    }));
    run.replaceChildren(...runs.map((row) => element("option", { value: row.run }, row.layer)));
    document.getElementById("simulated").hidden = runs[0].simulated !== "true";
    redraw();
  }

  async function redraw() {
    const mine = ++turn;
    const runs = here();
    const chosen = new Set([...host.querySelectorAll("input:checked")].map((input) => input.value));
    try {
      const found = await Promise.all(runs.map(async (row, n) => {
        const needed = chosen.has(row.run) || run.value === row.run;
        return needed && { id: row.run, label: row.layer, n, record: await record(row.run) };
      }));
      if (mine !== turn) return;
      neurofit.charts.offerKinds(found.filter(Boolean).map((each) => each.record));
      const drawn = found.filter((each) => each && chosen.has(each.id));
      neurofit.courses.course("course", drawn, { kind: kind(), bands: true, ceiling: true, onMs: parseFloat(runs[0].onMs) });
      const one = found.find((each) => each && each.id === run.value);
      document.getElementById("scatter-controls").hidden = !neurofit.numbers.byNeuroid(one.record, "raw");
      neurofit.scatter.binOptions(bin, one.record);
      neurofit.scatter.consistency("neuroids", one, kind(), bin);
      document.documentElement.dataset.drawn = String(turn);
    } catch (error) {
      if (mine === turn) for (const id of ["course", "neuroids"]) neurofit.charts.empty(id, error.message + ".");
    }
  }

  const boards = new Map(rows.map((row) => [row.board, row.title]));
  board.replaceChildren(...[...boards].map(([id, title]) => element("option", { value: id }, title)));
  board.addEventListener("change", offer);
  for (const each of [run, bin, ...document.querySelectorAll("input[name=values]")]) each.addEventListener("change", redraw);
  document.addEventListener("neurofit:theme", function () {
    [...host.querySelectorAll(".look")].forEach((mark, n) => mark.replaceChildren(neurofit.charts.swatch(n)));
  });
  offer();
})();
