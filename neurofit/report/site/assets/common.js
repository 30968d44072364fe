// What all pages share: the namespace, the records of runs, and saving files.
window.neurofit = (function () {
  "use strict";
  const root = document.documentElement.dataset.root || "";
  const received = new Map();
  const asked = new Map();
  const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

  /** Take the record of a run, as JSON text; the files in runs/ call this. */
  function receive(id, text) {
    received.set(id, text);
  }

  /** Return a promise of the JSON text of a run's record. A script brings it: pages on a disk may not fetch files. */
  function recordText(id) {
    if (!asked.has(id)) {
      asked.set(id, new Promise(function (resolve, reject) {
        const script = document.createElement("script");
        const fail = function () {
          asked.delete(id);
          reject(new Error("runs/" + id + ".js cannot be read"));
        };
        script.onload = function () {
          script.remove();
          if (received.has(id)) resolve(received.get(id));
          else fail();
        };
        script.onerror = fail;
        script.src = root + "runs/" + encodeURIComponent(id) + ".js";
        document.head.append(script);
      }));
    }
    return asked.get(id);
  }

  /** Return a promise of a run's record. */
  async function record(id) {
    return JSON.parse(await recordText(id));
  }

  /** Return text with characters that leave no trace made visible, and cut. */
  function plain(value, limit) {
    const text = String(value === null || value === undefined ? "" : value);
    const cut = limit && text.length > limit ? text.slice(0, limit - 1) + "…" : text;
    return cut.replace(UNSEEN, (c) => "⟨U+" + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
  }

  /** Return an element with attributes and children; strings become text, never markup. */
  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "class") made.className = value;
      else if (typeof value === "boolean") made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  /** Hand a file to the reader. */
  function save(name, content) {
    const blob = content instanceof Blob ? content : new Blob([content], { type: "application/octet-stream" });
    const address = URL.createObjectURL(blob);
    const link = element("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  /** Return a function that runs `action` once after calls have ceased for a moment. */
  function settled(action, milliseconds) {
    let timer = 0;
    return function () {
      clearTimeout(timer);
      timer = setTimeout(action, milliseconds);
    };
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-save], [data-record]");
    if (!button) return;
    if (button.dataset.save) {
      save(button.dataset.file, document.getElementById(button.dataset.save).textContent + "\n");
    } else {
      const id = button.dataset.record;
      recordText(id).then((text) => save(id + ".json", text), (error) => button.replaceWith(error.message));
    }
  });

  return { root, receive, record, recordText, plain, element, save, settled, boards: [], series: null,
    setSeries(series) { this.series = series; },
    setBoards(boards) { this.boards = boards; },
  };
})();
