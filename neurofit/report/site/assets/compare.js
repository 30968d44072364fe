// Two runs of a board beside each other; the address holds the choice, so that it can be passed on.
(function () {
  "use strict";
  const { element, record, boards } = neurofit;
  const [board, a, b, bin] = ["board", "a", "b", "bin"].map((id) => document.getElementById(id));
  if (!board) return;
  let turn = 0;

  const current = () => boards.find((each) => each.id === board.value);
  const kind = () => document.querySelector("input[name=values]:checked").value;
  const label = (run) => run.model + ", " + run.layer;

  function offerRuns(first, second) {
    const { runs, simulated } = current();
    for (const select of [a, b]) {
      select.replaceChildren(...runs.map((run) => element("option", { value: run.id }, run.rank + ". " + label(run))));
    }
    const known = (id, otherwise) => (runs.some((run) => run.id === id) ? id : otherwise && otherwise.id);
    a.value = known(first, runs[0]);
    b.value = known(second, runs.find((run) => run.id !== a.value) || runs[0]);
    document.getElementById("simulated").hidden = !simulated;
  }

  /** Take the choice from the address; what it names and is not there is left as it would be without it. */
  function fromAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const found = boards.find((each) => each.id === asked.get("board")) || boards.find((each) => each.runs.length > 1) || boards[0];
    board.value = found.id;
    offerRuns(asked.get("a"), asked.get("b"));
    redraw();
  }

  function toAddress() {
    history.replaceState(null, "", "#" + new URLSearchParams({ board: board.value, a: a.value, b: b.value }));
  }

  async function redraw() {
    const mine = ++turn;
    const { runs } = current();
    const alone = runs.length < 2;
    document.getElementById("one").hidden = !alone;
    document.getElementById("charts").hidden = alone;
    if (alone) return;
    const told = [a, b].map((select) => runs.find((run) => run.id === select.value));
    try {
      const [one, other] = await Promise.all(told.map(async (run, n) => ({ label: label(run), n, record: await record(run.id) })));
      if (mine !== turn) return;
      neurofit.courses.course("course", [{ ...one, label: "A: " + one.label }, { ...other, label: "B: " + other.label }],
        { kind: kind(), bands: true, ceiling: true, onMs: ((one.record.benchmark || {}).viewing || {}).on_ms, named: true });
      neurofit.charts.offerKinds([one.record, other.record]);
      neurofit.courses.difference("difference", one, other, kind());
      document.getElementById("scatter-controls").hidden = ![one, other].every((each) => neurofit.numbers.byNeuroid(each.record, "raw"));
      neurofit.scatter.binOptions(bin, one.record);
      neurofit.scatter.against("neuroids", one, other, kind(), bin);
      document.documentElement.dataset.drawn = String(turn);
    } catch (error) {
      if (mine === turn) for (const id of ["course", "difference", "neuroids"]) neurofit.charts.empty(id, error.message + ".");
    }
  }

  for (const title of ["Real recordings", "Simulated responses"]) {
    const group = boards.filter((each) => each.simulated === (title !== "Real recordings"));
    if (group.length) board.append(element("optgroup", { label: title }, ...group.map((each) => element("option", { value: each.id }, each.title))));
  }
  board.addEventListener("change", () => { offerRuns(); toAddress(); redraw(); });
  for (const select of [a, b]) select.addEventListener("change", () => { toAddress(); redraw(); });
  document.getElementById("swap").addEventListener("click", function () {
    [a.value, b.value] = [b.value, a.value];
    toAddress();
    redraw();
  });
  for (const each of [bin, ...document.querySelectorAll("input[name=values]")]) each.addEventListener("change", redraw);
  addEventListener("hashchange", fromAddress);
  fromAddress();
})();
