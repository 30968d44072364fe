// Filters over all boards of the first page.
(function () {
  "use strict";
  const form = document.getElementById("filters");
  if (!form) return;
  const field = (name) => document.getElementById("f-" + name);
  const [text, kind, region, layer, images] = ["text", "kind", "region", "layer", "images"].map(field);
  const known = new WeakMap(); // what is searched of a row

  function searched(row) {
    if (!known.has(row)) {
      const run = neurofit.runOf(row);
      known.set(row, { layer: run.layer, text: (run.model + " " + run.layer).toLowerCase() });
    }
    return known.get(row);
  }

  function apply() {
    neurofit.allTables();
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const least = Number(images.value) || 0;
    let boards = 0, runs = 0;
    for (const section of document.querySelectorAll("section.board")) {
      const facts = section.dataset;
      const fits = (!kind.value || facts.kind === kind.value) && (!region.value || facts.region === region.value)
        && Number(facts.images) >= least;
      const { api } = neurofit.tables.get(section.querySelector("table.runs").dataset.board);
      const nodes = api.rows({ order: "index" }).nodes(); // as the indices of the search
      const narrowed = words.length || layer.value;
      api.search.fixed("filters", !fits || !narrowed ? null : function (_, __, index) {
        const row = searched(nodes[index]);
        return (!layer.value || row.layer === layer.value) && words.every((word) => row.text.includes(word));
      });
      if (fits) api.draw();
      const left = fits ? api.rows({ search: "applied" }).count() : 0;
      section.hidden = left === 0;
      boards += left > 0;
      runs += left;
    }
    for (const group of document.querySelectorAll("section.group")) {
      group.hidden = !group.querySelector("section.board:not([hidden])");
    }
    const any = words.length || layer.value || kind.value || region.value || least;
    document.getElementById("nothing").hidden = runs > 0;
    document.getElementById("found").textContent = any
      ? `${runs.toLocaleString("en")} run${runs === 1 ? "" : "s"} on ${boards} board${boards === 1 ? "" : "s"}` : "";
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", neurofit.settled(apply, 120));
  form.addEventListener("reset", () => setTimeout(apply));
  document.getElementById("clear").addEventListener("click", () => { form.reset(); text.focus(); });
  form.reset();
})();
