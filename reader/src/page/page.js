"use strict";
// Asks /v1/top every second and shows what it says. Keys reach the page as text only, never as markup.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const { words, members, windows } = facts;
  const at = (id) => document.getElementById(id);
  const tabs = at("windows"), table = document.querySelector("table"), body = table.tBodies[0], notice = at("notice");
  const number = new Intl.NumberFormat("en");
  const clock = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: facts.zone, ...options });
  const minute = clock({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const second = clock({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  let shown = null; // the choice whose list is on the page
  let asked = 0;    // answers to older questions are dropped

  at("total-events-name").textContent = words.events;
  at("total-keys-name").textContent = words.keys;

  const fromAddress = () => {
    const [window, which] = location.hash.slice(1).split("/");
    const kind = windows.find((kind) => kind.name === window) || windows.find((kind) => kind.name === "hour") || windows[0];
    return { kind, which: which === "closed" && !kind.endless ? "closed" : "current" };
  };
  let choice = fromAddress();

  const choose = (kind, which) => {
    choice = { kind, which: kind.endless ? "current" : which };
    history.replaceState(null, "", `#${kind.name}/${choice.which}`);
    reflect();
    refresh();
  };

  const reflect = () => {
    for (const tab of tabs.children) {
      const selected = tab.dataset.name === choice.kind.name;
      tab.setAttribute("aria-selected", selected);
      tab.tabIndex = selected ? 0 : -1;
    }
    for (const radio of document.querySelectorAll("input[name=at]")) radio.checked = radio.value === choice.which;
    at("which").hidden = choice.kind.endless;
    at("panel").setAttribute("aria-label", `${choice.kind.label}, ${choice.which}`);
    const address = `/v1/top?window=${encodeURIComponent(choice.kind.name)}&k=${facts.k}&at=${choice.which}`;
    at("json").href = address;
    return address;
  };

  for (const kind of windows) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "panel");
    tab.dataset.name = kind.name;
    tab.textContent = kind.label;
    tab.onclick = () => choose(kind, choice.which);
    tabs.append(tab);
  }
  tabs.onkeydown = (event) => {
    const here = windows.indexOf(choice.kind), last = windows.length - 1;
    const to = { ArrowLeft: here ? here - 1 : last, ArrowRight: here < last ? here + 1 : 0, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(windows[to], choice.which);
    tabs.children[to].focus();
  };
  at("which").onchange = (event) => choose(choice.kind, event.target.value);
  window.onhashchange = () => { choice = fromAddress(); reflect(); refresh(); };

  const say = (text, trouble) => {
    notice.hidden = !text;
    notice.classList.toggle("trouble", Boolean(trouble));
    if (text && notice.textContent !== text) notice.textContent = text;
  };

  const empty = () => {
    table.hidden = true;
    at("state").hidden = at("elapsed").hidden = at("facts-shown").hidden = true;
  };

  const row = (index) => {
    if (body.rows[index]) return body.rows[index];
    const row = body.insertRow();
    for (const name of ["number", "change", "key", "number"]) row.insertCell().className = name;
    row.cells[2].append(document.createElement("i"), document.createElement("bdi"));
    return row;
  };

  const change = (item) => {
    if (item.previousRank === null) return ["new", "", "was not on the previous list"];
    const by = item.previousRank - item.rank;
    if (by > 0) return [`▲ ${by}`, "up", `up ${by} from rank ${item.previousRank}`];
    if (by < 0) return [`▼ ${-by}`, "down", `down ${-by} from rank ${item.previousRank}`];
    return ["=", "", "same rank as before"];
  };

  const list = (items) => {
    const greatest = items.length ? items[0][members.count] : 1;
    // Without a single earlier rank there is nothing to compare with.
    table.classList.toggle("plain", items.every((item) => item.previousRank === null));
    items.forEach((item, index) => {
      const [rank, moved, key, count] = row(index).cells;
      const [text, direction, title] = change(item);
      rank.textContent = item.rank;
      moved.textContent = text;
      moved.className = `change ${direction}`;
      moved.title = title;
      key.firstChild.style.width = `${(item[members.count] / greatest) * 100}%`;
      key.lastChild.textContent = item[members.key];
      count.textContent = number.format(item[members.count]);
    });
    while (body.rows.length > items.length) body.deleteRow(-1);
    table.hidden = !items.length;
  };

  const head = (meta) => {
    const start = meta.window_start && new Date(meta.window_start), end = meta.window_end && new Date(meta.window_end);
    at("bounds").textContent = start ? `${minute.formatRange(start, end)} ${facts.zone}` : "all time";
    at("state").hidden = !meta.state;
    at("state").textContent = at("state").dataset.state = meta.state || "";
    const part = start && meta.as_of ? (new Date(meta.as_of) - start) / (end - start) : null;
    at("elapsed").hidden = part === null || meta.state !== "open";
    if (part !== null) {
      const percent = Math.round(Math.min(1, Math.max(0, part)) * 100);
      at("elapsed").firstElementChild.style.width = `${percent}%`;
      at("elapsed").setAttribute("aria-label", `${percent} % of the window is over`);
    }
    at("facts-shown").hidden = false;
    at("total-events").textContent = number.format(meta[members.totalEvents]);
    at("total-keys").textContent = number.format(meta[members.totalKeys]);
    at("as-of").textContent = meta.as_of ? `${second.format(new Date(meta.as_of))} ${facts.zone}` : "–";
    at("epoch").textContent = meta.epoch === null ? "–" : `${meta.epoch} (generation ${meta.generation ?? "–"})`;
    at("source").textContent = meta.source;
  };

  const refresh = async () => {
    const question = ++asked, { kind, which } = choice, name = `${kind.name}/${which}`;
    if (shown !== name) { empty(); at("bounds").textContent = "…"; say(""); }
    let status = 0, answer = null;
    try {
      const response = await fetch(reflect(), { cache: "no-store", signal: AbortSignal.timeout(8000) });
      status = response.status;
      answer = await response.json();
    } catch { status = 0; }
    if (question !== asked) return;
    if (status === 200) {
      shown = name;
      if (answer.items.length) {
        head(answer.meta);
        say("");
      } else {
        empty();
        at("bounds").textContent = `No ${words.events} yet`;
        say(`Waiting for the first ${words.events} of this window.`);
      }
      list(answer.items);
    } else if (status === 404) {
      shown = name;
      empty();
      at("bounds").textContent = `No ${kind.label} has closed yet`;
      say(`Waiting for the first ${kind.label} to close. The current list is one click away.`);
    } else {
      const why = answer && answer.detail ? answer.detail : "the reader does not answer";
      if (shown !== name) at("bounds").textContent = "No list";
      say(`The list cannot be read right now: ${why}. ${shown === name ? "The last one stays on the page. " : ""}Trying again every second.`, true);
    }
  };

  reflect();
  refresh();
  setInterval(() => { if (!document.hidden) refresh(); }, 1000);
  document.onvisibilitychange = () => { if (!document.hidden) refresh(); };
})();
