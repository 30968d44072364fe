// The tables of runs: sorting, pages, columns, and the choice of runs. They are read from the page by DataTables.
(function () {
  "use strict";
  const { element, root } = neurofit;
  const PAGE = 25;
  const narrow = matchMedia("(max-width: 44rem)").matches;
  neurofit.tables = new Map();

  // A run without a value comes last, whichever way a column is sorted.
  const last = (compare) => (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return compare(parseFloat(a), parseFloat(b));
  };
  DataTable.type("num-last", {
    detect: () => false,
    order: { pre: (value) => String(value), asc: last((a, b) => a - b), desc: last((a, b) => b - a) },
  });

  function enhance(table) {
    const id = table.dataset.board;
    const rows = table.tBodies[0].rows.length;
    const api = new DataTable(table, {
      autoWidth: false,
      order: [[1, "asc"]],
      orderClasses: false,
      paging: rows > PAGE,
      pageLength: PAGE,
      lengthMenu: [PAGE, 100, { label: "All", value: -1 }],
      columnDefs: [
        { targets: "falling", orderSequence: ["desc", "asc"] },
        { targets: "_all", orderSequence: ["asc", "desc"] },
      ],
      layout: {
        topStart: null, topEnd: null,
        bottomStart: rows > PAGE ? ["info", "pageLength"] : null,
        bottomEnd: rows > PAGE ? "paging" : null,
      },
      language: {
        info: "_START_ to _END_ of _TOTAL_ runs", infoEmpty: "no runs", infoFiltered: "(of _MAX_)",
        lengthMenu: "_MENU_ a page", zeroRecords: "No run is left by the filters.", emptyTable: "This board has no runs.",
      },
    });
    const pieces = { api, table, chosen: new Set(), names: new Map(), listeners: [] };
    neurofit.tables.set(id, pieces);
    wrap(table);
    choosing(pieces, id);
    columnMenu(pieces, id);
  }

  /** Let only the table scroll sideways, not its page numbers. */
  function wrap(table) {
    const box = table.closest(".scroll");
    const container = table.closest(".dt-container");
    if (!box || !container || !box.contains(container)) return;
    box.replaceWith(container);
    table.replaceWith(box);
    box.append(table);
  }

  /** Return what a row of a table says of its run. */
  function runOf(row) {
    return {
      id: row.dataset.run,
      model: row.querySelector(".name a bdi").textContent, // from the cell that is never hidden
      layer: row.querySelector(".name small bdi").textContent,
      note: (row.querySelector(".name small span") || { textContent: "" }).textContent,
    };
  }

  function choosing(pieces, id) {
    const tools = document.querySelector(`.tools[data-board="${CSS.escape(id)}"]`);
    const link = tools.querySelector(".compare"); // none where there is one run
    const words = tools.querySelector(".chosen");
    const address = link && link.getAttribute("href");
    const ranked = pieces.api.rows({ order: "index" }).nodes().toArray().map((row) => row.dataset.run);
    function tell() {
      const chosen = ranked.filter((run) => pieces.chosen.has(run));
      if (link) {
        const enough = chosen.length > 1;
        link.setAttribute("aria-disabled", String(!enough));
        if (enough) {
          link.href = address + "#" + new URLSearchParams({ board: id, a: chosen[0], b: chosen[1] });
        } else link.removeAttribute("href");
        words.textContent = chosen.length === 0 ? "" : chosen.length + " chosen"
          + (chosen.length < 2 ? "; choose another to compare" : chosen.length > 2 ? "; the two best are compared" : "");
      }
      for (const listener of pieces.listeners) listener(chosen);
    }
    pieces.choose = function (run, on) {
      if (on) pieces.chosen.add(run);
      else pieces.chosen.delete(run);
      const row = pieces.api.rows().nodes().toArray().find((each) => each.dataset.run === run);
      if (row) row.querySelector("input").checked = on;
      tell();
    };
    pieces.table.addEventListener("change", function (event) {
      if (event.target.matches(".pick input")) pieces.choose(event.target.closest("tr").dataset.run, event.target.checked);
    });
    if (link) {
      link.removeAttribute("href");
      link.addEventListener("click", (event) => { if (!link.hasAttribute("href")) event.preventDefault(); });
    }
    // browsers keep boxes checked when a page is loaded again
    for (const row of pieces.api.rows().nodes().toArray()) row.querySelector("input").checked = false;
  }

  function columnMenu(pieces, id) {
    const menu = document.querySelector(`.tools[data-board="${CSS.escape(id)}"] .columns .menu`);
    if (!menu) return;
    pieces.api.columns().every(function (index) {
      const head = this.header();
      if (head.matches(".pick, .name")) return;
      const title = head.getAttribute("aria-label") || head.textContent.trim();
      const shown = !(narrow && head.matches(".later"));
      if (!shown) this.visible(false);
      const box = element("input", { type: "checkbox", checked: shown });
      box.addEventListener("change", () => this.visible(box.checked));
      menu.append(element("label", {}, box, " " + title));
    });
    const details = menu.closest("details");
    document.addEventListener("click", (event) => { if (!details.contains(event.target)) details.open = false; });
    details.addEventListener("keydown", function (event) {
      if (event.key !== "Escape") return;
      details.open = false;
      details.querySelector("summary").focus();
    });
  }

  neurofit.runOf = runOf;

  // the first tables at once, the others one by one between what the reader does
  const waiting = [...document.querySelectorAll("table.runs")];
  const AT_ONCE = 2;
  function next() {
    if (waiting.length) enhance(waiting.shift());
    if (waiting.length) setTimeout(next);
    else document.documentElement.dataset.ready = "tables";
  }

  /** Make all tables at once, for what needs all of them. */
  neurofit.allTables = function () {
    while (waiting.length) enhance(waiting.shift());
    document.documentElement.dataset.ready = "tables";
  };
  for (const table of waiting.splice(0, AT_ONCE)) enhance(table);
  document.documentElement.dataset.usable = "tables";
  if (waiting.length) setTimeout(next);
  else document.documentElement.dataset.ready = "tables";
})();
