
"use strict";
// Every text from the server goes into the page as text. Nothing here makes HTML out of a string, and the
// page's Content-Security-Policy would not let it.
(() => {
  const find = (id) => document.getElementById(id);
  const body = document.body;
  const page = { revision: body.dataset.revision, migration: null, ahead: 0 };

  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const show = (node, text) => { put(node, text || ""); node.hidden = !text; };

  // Times: ours, with UTC for whoever compares logs.
  const two = (number) => String(number).padStart(2, "0");
  const local = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} `
    + `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  const clock = (moment) => {
    const made = element("time", "", { datetime: moment });
    return dated(made);
  };
  const dated = (time) => {
    const date = new Date(time.dateTime);
    time.title = `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    put(time, local(date));
    return time;
  };
  const elapsed = (seconds) => {
    const whole = Math.max(Math.floor(seconds), 0);
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const at = units.findIndex(([size]) => whole >= size);
    if (at < 0) return "0 s";
    const [size, unit] = units[at];
    const next = units[at + 1];
    const more = next && whole % size >= next[0] ? ` ${Math.floor((whole % size) / next[0])} ${next[1]}` : "";
    return `${Math.floor(whole / size)} ${unit}${more}`;
  };
  const since = (moment) => tick(element("time", "", { datetime: moment, "data-since": "" }));
  const tick = (time) => {
    const date = new Date(time.dateTime);
    time.title = `since ${local(date)}`;
    put(time, elapsed((Date.now() - page.ahead - date.getTime()) / 1000));
    return time;
  };
  setInterval(() => document.querySelectorAll("time[data-since]").forEach(tick), 1000);

  const showState = (state) => {
    page.ahead = Date.now() - new Date(state.now).getTime();
    find("state").dataset.tone = state.tone;
    put(find("headline"), state.title);
    put(find("detail"), state.detail);
    document.title = `${state.title} – ${body.dataset.title}`;
    find("since").hidden = !state.since;
    find("since").replaceChildren(...(state.since ? ["for ", since(state.since)] : []));
    showBar(state.bar);
    show(find("replica"), state.replica);
    find("lost").hidden = !state.lost;
    put(find("lost-why"), state.lost || "");
    if (state.lost) find("lost-since").replaceChildren(clock(state.lost_since));
    if (state.read) find("read").replaceChildren(clock(state.read));
    list("waiting", state.waiting.map((each) => {
      const detail = element("span", each.detail);
      if (each.since) detail.append(" · connected for ", since(each.since));
      const item = element("li");
      item.append(element("b", each.who), " ", detail);
      return item;
    }));
    page.migration = state.migration;
    markCurrent();
  };
  const showBar = (bar) => {
    find("bar").hidden = !bar;
    if (!bar) return;
    const progress = find("progress");
    if (bar.total === null) {
      progress.removeAttribute("value");
    } else {
      progress.max = bar.total;
      progress.value = bar.done;
    }
    put(find("progress-text"), bar.text);
  };
  const list = (id, items) => {
    const section = find(id);
    section.hidden = !items.length;
    section.querySelector("ul, ol, tbody").replaceChildren(...items);
    const count = section.querySelector("h2 output");
    if (count) put(count, items.length.toLocaleString("en"));
  };
  const markCurrent = () => {
    for (const item of find("pending").querySelectorAll("li")) {
      if (item.firstElementChild.textContent === page.migration) {
        item.setAttribute("aria-current", "true");
      } else {
        item.removeAttribute("aria-current");
      }
    }
  };

  const named = (into, each) => {
    into.append(element("b", each.name));
    if (each.mark) into.append(" ", element("mark", each.mark));
    return into;
  };
  const showTable = (table) => {
    page.revision = table.revision;
    list("findings", table.findings.map((each) => element("li", each.text, { "data-tone": each.tone })));
    list("pending", table.pending.map((each) => named(element("li"), each)));
    list("applied", table.applied.map((each) => {
      const row = element("tr", "", { role: "row", "data-state": each.state });
      const head = named(element("th", "", { role: "rowheader", scope: "row" }), each);
      if (each.description) head.append(element("small", each.description));
      const cell = (text) => element("td", text, { role: "cell" });
      const when = cell("");
      if (each.at) when.append(clock(each.at));
      row.append(head, when, cell(each.took), cell(each.by));
      return row;
    }));
    markCurrent();
    filter();
  };

  const filter = () => {
    const words = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = document.querySelectorAll("#applied tbody tr");
    let found = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      found += !row.hidden;
    }
    put(find("found"), words.length ? `${found.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "");
  };
  find("filter").addEventListener("input", filter);
  document.querySelector("search").hidden = false;

  // The stream ends now and then and the browser opens it again; only a longer silence is worth a word.
  let source = null;
  let silence = 0;
  let heardAt = new Date();
  let broken = false;
  const live = (word, text) => {
    find("live").dataset.live = word;
    put(find("live"), text);
  };
  const heard = (event) => {
    heardAt = new Date();
    broken = false;
    complainIn(15);
    live("yes", "live");
    return JSON.parse(event.data);
  };
  const complainIn = (seconds) => {
    clearTimeout(silence);
    const text = `No word from the server since ${local(heardAt)}; trying again`;
    silence = setTimeout(() => live("no", text), seconds * 1000);
  };
  const close = () => {
    if (source) source.close();
    source = null;
  };
  const open = () => {
    close();
    source = new EventSource(`${body.dataset.events}?revision=${encodeURIComponent(page.revision)}`);
    source.addEventListener("state", (event) => showState(heard(event)));
    source.addEventListener("table", (event) => showTable(heard(event)));
    source.addEventListener("error", () => {
      if (!broken) complainIn(5);
      broken = true;
      // Refused, or an answer that is no stream: the browser itself would not try again.
      if (source && source.readyState === EventSource.CLOSED) {
        live("no", "The server does not send; trying again");
        setTimeout(() => { if (!document.hidden) open(); }, 3000);
      }
    });
  };
  // A forgotten tab must not keep anybody looking at the database.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  document.querySelectorAll("time:not([data-since])").forEach(dated);
  open();
})();
