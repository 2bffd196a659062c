// The questions of a report. All texts go into the page as text nodes, never as markup.
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const pictures = JSON.parse(document.getElementById("pictures").textContent);
  const root = document.getElementById("browser");
  const SVG = "http://www.w3.org/2000/svg";
  const MAPS = [
    ["picks", "Picks", "Outlined: the embeddings that the step fed back."],
    ["raw", "Raw", "Attention of the row before the step to each image embedding, mean over layers and heads; no colour for the weakest, full colour for the strongest."],
    ["masked", "Without border", "The same without the outer ring, which attracts attention whatever the question is."],
    ["relative", "Against neutral", "How many times the attention under the prompt \u201cDescribe the picture.\u201d Colour starts above 1."],
  ];
  const HEAT_MOST = 120; // opacity of the strongest place, of 255: what lies under it must be seen
  const state = { shown: [], at: 0, map: 0 };

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const name in attributes || {}) element.setAttribute(name, attributes[name]);
    for (const child of children.flat()) if (child !== null && child !== undefined) element.append(child);
    return element;
  }
  function draw(tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    return element;
  }
  const letter = (i) => (i < 26 ? String.fromCharCode(65 + i) : String(i + 1));
  const digits = (value, places) => (typeof value === "number" ? value.toFixed(places) : "\u2013");
  const plural = (count, word) => count + " " + word + (count === 1 ? "" : "s");
  const verdictOf = (answer) => ("failed" in answer ? "failed" : answer.ok === true ? "right" : answer.ok === false ? "wrong" : "");

  // ------------------------------------------------------------------ maps

  function cells(map) {
    const text = atob(map[1]);
    return Array.from(text, (c) => (c.charCodeAt(0) / 255) * map[0]);
  }

  // The least number of a map that counts: 1 for ratios; what is masked does not.
  function least(map, kind) {
    return kind === "relative" ? Math.min(1, map[0]) : Math.min(...cells(map).filter((v) => v > 0 || kind === "raw"));
  }

  // How strongly each place is coloured, 0 to 1.
  function strengths(map, kind) {
    const low = least(map, kind), span = map[0] - low;
    return cells(map).map((v) => (span > 0 ? Math.max(0, (v - low) / span) : v > 0 && kind !== "relative" ? 1 : 0));
  }

  // Lays an element over the part of a picture [width, height] that the grid covers: all of it, unless a frame was removed.
  function cover(element, grid, size) {
    const [x, y, width, height] = grid.length === 6 && size ? grid.slice(2) : [0, 0, 1, 1], [w, h] = grid.length === 6 && size ? size : [1, 1];
    Object.assign(element.style, { left: 100 * x / w + "%", top: 100 * y / h + "%", width: 100 * width / w + "%", height: 100 * height / h + "%" });
    return element;
  }

  function heat(grid, map, kind) {
    const canvas = make("canvas", { width: grid[1], height: grid[0], "aria-hidden": "true" });
    const context = canvas.getContext("2d"), image = context.createImageData(grid[1], grid[0]);
    const colour = getComputedStyle(document.documentElement).getPropertyValue("--heat").split(",").map(Number);
    strengths(map, kind).forEach((v, i) => image.data.set([colour[0], colour[1], colour[2], HEAT_MOST * Math.pow(v, 1.15)], 4 * i));
    context.putImageData(image, 0, 0);
    return canvas;
  }

  // The outline of the strongest place, inside of that of a pick.
  function hottest(grid, map, kind) {
    const all = strengths(map, kind), at = all.indexOf(Math.max(...all)), x = at % grid[1], y = Math.floor(at / grid[1]);
    const over = draw("svg", { viewBox: "0 0 " + grid[1] + " " + grid[0], preserveAspectRatio: "none", "aria-hidden": "true" });
    if (all[at] > 0) for (const name of ["hot", "hot top"]) over.append(draw("rect", { class: name, x: x + 0.07, y: y + 0.07, width: 0.86, height: 0.86 }));
    return over;
  }

  // The outline of all picked rectangles together: edges that two of them share are left out.
  function outline(picks) {
    const edges = new Map();
    for (const pick of picks) {
      const [x0, y0, x1, y1] = pick.slice(1, 5).map((v) => Math.round(v * 100) / 100);
      for (const edge of [[x0, y0, x1, y0], [x0, y1, x1, y1], [x0, y0, x0, y1], [x1, y0, x1, y1]]) {
        const key = edge.join(" ");
        if (edges.has(key)) edges.delete(key);
        else edges.set(key, "M" + edge[0] + " " + edge[1] + "L" + edge[2] + " " + edge[3]);
      }
    }
    return Array.from(edges.values()).join("");
  }

  // Which of the question's pictures the picture of an answer is; -1: one that is not in the page.
  function sourceOf(answer, image) {
    if (image >= answer.sources.length) return answer.sources.length ? -1 : image;
    return answer.sources[image] === null ? -1 : answer.sources[image];
  }

  // One picture with what a step saw in it. `maps`: [raw, masked, relative] or null.
  function stage(question, source, grid, maps, picks, about) {
    const kind = MAPS[state.map][0];
    const place = question.pictures ? question.pictures[source] : undefined;
    const picture = typeof place === "number" ? pictures[place] : null;
    const map = maps && kind !== "picks" ? maps[state.map - 1] : null;
    const size = picture || [grid ? grid[1] : 1, grid ? grid[0] : 1];
    const box = make("div", { class: map ? "stage veiled" : "stage" });
    if (picture) box.append(make("img", { src: picture[2], alt: about, width: size[0], height: size[1] }));
    else {
      const blank = make("span", { class: "blank", role: "img", "aria-label": about });
      blank.style.aspectRatio = size[0] + " / " + size[1];
      box.append(blank);
    }
    if (map && grid) box.append(cover(heat(grid, map, kind), grid, picture));
    if (picks.length && picture) {
      const over = draw("svg", { viewBox: "0 0 " + size[0] + " " + size[1], preserveAspectRatio: "none", "aria-hidden": "true" });
      const path = outline(picks);
      over.append(draw("path", { class: "pick", d: path }), draw("path", { class: "pick top", d: path }));
      box.append(over);
    }
    if (map && grid) box.append(cover(hottest(grid, map, kind), grid, picture));
    return { box, map };
  }

  function scale(map) {
    if (!map) return null;
    const kind = MAPS[state.map][0];
    return make("span", { class: "numbers" }, kind === "relative" ? "up to " + digits(map[0], 1) + " times neutral" : least(map, kind).toPrecision(2) + " to " + map[0].toPrecision(2));
  }

  function lens(step) {
    if (!step.lens.length) return null;
    const list = make("ol", { class: "lens", "aria-label": "What the head reads from the latent" });
    for (const [text, p, token] of step.lens) {
      const fill = make("i");
      fill.style.width = Math.max(1, 100 * p) + "%";
      const shown = text === null || text === "" ? "#" + token : text.replace(/\n/g, "\u23ce").replace(/ /g, "\u2423");
      list.append(make("li", null, make("code", { title: shown }, shown), make("div", { class: "bar" }, fill), make("span", null, digits(100 * p, 1) + "%")));
    }
    return list;
  }

  // Pictures that a step has something to show for.
  function imagesOf(step, answer, question) {
    const found = new Set(step.picks.map((pick) => pick[0]));
    if (state.map > 0) (step.maps || []).forEach((maps, i) => maps && maps[state.map - 1] && found.add(i));
    if (!found.size && (question.pictures || []).length) found.add(Math.max(0, answer.sources.indexOf(0)));
    return Array.from(found).sort((a, b) => a - b);
  }

  function stepFigures(question, answer, step, name, numbers) {
    return imagesOf(step, answer, question).map((image, place) => {
      const picks = step.picks.filter((pick) => pick[0] === image), grid = answer.grids[image];
      const given = (question.pictures || []).length, source = sourceOf(answer, image), own = source >= 0 && source < given;
      const which = own ? ", image " + (source + 1) : ", an image that is not the question's";
      const about = name + which + (picks.length ? ", " + plural(picks.length, "region") + " picked" : "");
      const { box, map } = stage(question, source, grid, step.maps ? step.maps[image] : null, picks, about);
      const title = make("b", null, name + (given > 1 || !own ? which : ""));
      return make("figure", { class: "step" }, box, make("figcaption", null, title, scale(map), place === 0 ? numbers : null));
    });
  }

  // The reason why a step fed no part of an image back.
  function whyNone(answer, at) {
    const { picks, picked } = data.ways[answer.way]; // [option, value]
    const before = answer.steps.slice(0, at).reduce((sum, step) => sum + step.picks.length, 0);
    if (!picks) return "Nothing is picked: this method feeds no part of the image back.";
    if (answer.image_tokens === 0) return "Nothing is picked: the prompt has no image.";
    if (picks[1] === "0") return "Nothing is picked: " + picks[0] + " is 0.";
    if (picked && picked[1] === "none") return "Nothing is picked: " + picked[0] + " is none.";
    if (before > 0 && before >= answer.image_tokens) return "Nothing is picked: all " + plural(before, "embedding") + " were picked before.";
    return "Nothing is picked.";
  }

  function steps(question, answer) {
    const row = make("div", { class: "steps" });
    const nothing = { picks: [], lens: [] };
    if (state.map > 0 && answer.maps && !(answer.tokens.latent && answer.steps.some((step) => step.maps))) // the first latent step shows the same
      row.append(...stepFigures(question, answer, { ...nothing, maps: answer.maps }, "Prompt", null));
    answer.steps.forEach((step, i) => {
      const facts = [];
      if ("hidden_norm" in step) facts.push("norm " + digits(step.hidden_norm, 1));
      if ("hidden_cosine" in step) facts.push("cosine " + digits(step.hidden_cosine, 2));
      const looks = [];
      if ("attention_ratio" in step) looks.push("ratio " + digits(step.attention_ratio, 2));
      if ("attention_focus" in step) looks.push("focus " + digits(step.attention_focus, 2));
      const numbers = [facts, looks].filter((f) => f.length).map((f) => make("span", { class: "numbers" }, f.join(", ")));
      const why = step.picks.length ? null : make("span", { class: "numbers" }, whyNone(answer, i));
      row.append(...stepFigures(question, answer, step, (answer.tokens.latent ? "Step " : "Insertion ") + (i + 1), [numbers, why, lens(step)].flat()));
    });
    if (state.map === 1 && answer.neutral)
      row.append(...stepFigures(question, answer, { ...nothing, maps: answer.neutral.map((map) => map && [map, null, null]) }, "Neutral prompt", null));
    return row.childNodes.length ? row : null;
  }

  // A small picture from hexadecimal digits, enlarged without smoothing.
  function smallPicture(side, digits, about) {
    const canvas = make("canvas", { width: side, height: side, class: "small", role: "img", "aria-label": about });
    const context = canvas.getContext("2d"), image = context.createImageData(side, side);
    for (let i = 0; i < side * side; i++) {
      const rgb = parseInt(digits.slice(6 * i, 6 * i + 6), 16);
      image.data.set([rgb >> 16, (rgb >> 8) & 255, rgb & 255, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  // What a network reconstructs of the image from the latent steps alone, beside the image as small.
  function reconstructions(answer) {
    const made = answer.reconstruction;
    if (!made) return null;
    const errors = [];
    if ("error" in made) errors.push("error " + digits(made.error, 2) + " (1: that of the mean picture)");
    if ("other_error" in made) errors.push("from another question's steps " + digits(made.other_error, 2));
    const tail = errors.length ? errors.join(", ") + "." : "";
    if (made.note) return make("p", { class: "account" }, "Reconstruction: " + made.note + ". " + tail);
    const row = make("div", { class: "steps" });
    const show = (rgb, name, number) => row.append(make("figure", { class: "step" }, smallPicture(made.side, rgb, name),
      make("figcaption", null, make("b", null, name), number === null ? null : make("span", { class: "numbers" }, "error " + digits(number, 2)))));
    if (made.seen) show(made.seen, "The image, reduced", null);
    made.steps.forEach(([step, rgb, number]) => show(rgb, step === 0 ? "From step 1" : "From steps 1 to " + (step + 1), number));
    return make("section", { class: "made" }, make("p", { class: "account" }, "Reconstructed from the latent steps alone: " + tail), row);
  }

  // ------------------------------------------------------------- one question

  function account(answer) {
    const parts = [], tokens = answer.tokens;
    if ("sampled" in tokens) parts.push(plural(tokens.sampled, "token"));
    if (tokens.latent) parts.push(plural(tokens.latent, "latent step"));
    if (tokens.injected) parts.push(plural(tokens.injected, "embedding") + " fed again");
    if (answer.passes > 1) parts.push(plural(answer.passes, "pass").replace("passs", "passes"));
    if (answer.calls) parts.push(plural(answer.calls, "call") + (answer.invalid_calls ? ", " + answer.invalid_calls + " of them invalid" : ""));
    if (answer.crops) parts.push(plural(answer.crops, "crop"));
    if ("prompt_tokens" in answer) parts.push("prompt of " + answer.prompt_tokens);
    if ("positions_computed" in answer) parts.push(answer.positions_computed + " rows computed");
    if ("total" in answer.ms) {
      const times = ["vision", "prefill", "latent", "decode"].filter((name) => answer.ms[name] > 0).map((name) => name + " " + digits(answer.ms[name] / 1000, 3));
      parts.push(digits(answer.ms.total / 1000, 3) + " s" + (times.length ? " (" + times.join(", ") + ")" : ""));
    }
    if (answer.finish === "length") parts.push("cut off at the maximum number of tokens");
    return parts.join(" \u00b7 ");
  }

  // What the model wrote before the answer, and the regions that it requested.
  function turns(answer) {
    if (!answer.turns) return null;
    return make("details", { class: "turns" }, make("summary", null, plural(answer.turns.length, "turn") + " before the answer"),
      answer.turns.map((text) => make("p", { class: "said" }, text === null || text === "" ? "(nothing)" : text)));
  }
  function regions(question, answer) {
    if (!answer.regions) return null;
    const row = make("div", { class: "steps" });
    answer.regions.forEach((region, i) => {
      const { box } = stage(question, 0, null, null, [[0, ...region]], "Region " + (i + 1) + ", as requested");
      row.append(make("figure", { class: "step" }, box, make("figcaption", null, make("b", null, "Region " + (i + 1)))));
    });
    return row;
  }

  function answerCard(question, answer) {
    const verdict = verdictOf(answer), way = data.ways[answer.way];
    const mark = make("span", { class: "dot " + verdict, "aria-hidden": "true" });
    const chosen = typeof answer.choice === "number" ? ", chose " + letter(answer.choice) : verdict === "wrong" ? ", named no option" : "";
    return make("article", { class: "answer" },
      make("header", null, make("h3", null, data.single ? "Answer" : way.name), verdict ? mark : null, verdict ? make("span", { class: "verdict " + verdict }, verdict + (verdict === "failed" ? "" : chosen)) : null),
      verdict === "failed" ? make("p", { class: "said" }, answer.failed) : make("p", { class: "said" }, answer.text === null || answer.text === "" ? "(nothing)" : answer.text),
      turns(answer), make("p", { class: "account" }, account(answer)), regions(question, answer), steps(question, answer), reconstructions(answer));
  }

  function optionList(question) {
    if (!question.options || !question.options.length) return question.gold ? make("p", { class: "meta" }, "Correct answer: "
                                                                                                           "" + question.gold) : null;
    const list = make("ul", { class: "options" });
    question.options.forEach((text, i) => {
      const by = question.answers.filter((answer) => answer.choice === i).map((answer) => data.ways[answer.way].name);
      list.append(make("li", i === question.answer ? { class: "gold" } : null, make("span", { class: "letter" }, letter(i)), make("span", { class: "what" }, text),
        i === question.answer ? make("span", { class: "tag" }, "correct") : null, by.length ? make("span", { class: "tag" }, "chosen by " + by.join(", ")) : null));
    });
    return list;
  }

  function mapButtons(question) {
    const any = question.answers.some((answer) => answer.maps || answer.steps.some((step) => step.maps));
    const bar = make("div", { class: "maps", role: "group", "aria-label": "What is drawn over the image" });
    if (!any) {
      if (question.answers.some((answer) => answer.steps.some((step) => step.picks.length))) bar.append("Outlined: picked regions. Maps of "
                                                                                                        "attention require a run with "
                                                                                                        "--scores.");
      return bar.childNodes.length ? bar : null;
    }
    MAPS.forEach(([, name, explain], i) => {
      const button = make("button", { type: "button", "aria-pressed": String(i === state.map), title: explain + " Key " + (i + 1) }, name);
      button.addEventListener("click", () => chooseMap(i));
      bar.append(button);
    });
    bar.append(make("p", { class: "explain" }, MAPS[state.map][2]));
    return bar;
  }

  function show() {
    const question = state.shown.length ? data.questions[state.shown[state.at]] : null;
    detail.replaceChildren();
    count.textContent = question ? state.at + 1 + " of " + state.shown.length : "none";
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-current", String(Number(button.dataset.at) === state.at));
    if (!question) {
      detail.append(make("p", { class: "meta" }, data.questions.length ? "No question matches." : "This page contains no questions."));
      return;
    }
    const media = make("div", null, (question.pictures || []).map((place, i) => (typeof place === "number" ? make("img", { src: pictures[place][2], width: pictures[place][0], height: pictures[place][1], alt:
    "Image " + (i + 1) + " of the question" }) : null)));
    const meta = [question.set, question.domain, question.topic !== question.domain ? question.topic : "", question.id].filter((text) => text);
    detail.append(make("div", { class: media.childNodes.length ? "ask" : "ask plain" }, media.childNodes.length ? media : null, make("div", null,
      meta.length ? make("p", { class: "meta" }, meta.join(" \u00b7 ")) : null, question.context ? make("p", { class: "context" }, question.context) : null,
      make("p", { class: "question" }, question.question || question.id || ""), optionList(question))));
    const bar = mapButtons(question);
    if (bar) detail.append(bar);
    for (const answer of question.answers) detail.append(answerCard(question, answer));
    if (!data.single) history.replaceState(null, "", "#question=" + encodeURIComponent(question.id || ""));
  }

  function chooseMap(i) {
    const focused = document.activeElement && document.activeElement.closest(".maps");
    state.map = i;
    show();
    if (focused) detail.querySelectorAll(".maps button")[i].focus();
  }

  function go(by) {
    if (!state.shown.length) return;
    state.at = (state.at + by + state.shown.length) % state.shown.length;
    show();
    const current = list.querySelector("[aria-current=true]");
    if (current) list.scrollTop = current.offsetTop - list.offsetTop - list.clientHeight / 2;
  }

  // ------------------------------------------------------------------ filter

  function select(name, first, values) {
    const element = make("select", { "aria-label": name }, make("option", { value: "" }, first), values.map(([value, text]) => make("option", { value }, text)));
    element.addEventListener("change", filter);
    return element;
  }
  const kinds = (field) => Array.from(new Set(data.questions.map((question) => question[field]).filter((text) => text))).sort().map((text) => [text, text]);

  const count = make("span", { class: "count", role: "status" });
  const list = make("ul", { class: "list", "aria-label": "Questions" });
  const detail = make("div", { class: "detail" });
  const search = make("input", { type: "search", placeholder: "Search words, answers, ids", "aria-label": "Search" });
  const way = select("Method", "Any method", data.ways.map((w, i) => [String(i), w.name]));
  const verdict = select("Verdict", "Any verdict", [["right", "right"], ["wrong", "wrong"], ["silent", "named no option"], ["failed", "failed"], ["differ", "methods differ"]]);
  const domain = select("Domain", "Any domain", kinds("domain"));
  const topic = select("Topic", "Any topic", kinds("topic"));

  function passes(question) {
    const answers = question.answers.filter((answer) => way.value === "" || answer.way === Number(way.value));
    const words = search.value.trim().toLowerCase();
    if (way.value !== "" && !answers.length) return false;
    if (domain.value && question.domain !== domain.value) return false;
    if (topic.value && question.topic !== topic.value) return false;
    if (verdict.value === "differ" && new Set(question.answers.map((answer) => answer.ok === true)).size < 2) return false;
    if (verdict.value === "silent" && !answers.some((answer) => verdictOf(answer) === "wrong" && typeof answer.choice !== "number")) return false;
    if (["right", "wrong", "failed"].includes(verdict.value) && !answers.some((answer) => verdictOf(answer) === verdict.value)) return false;
    if (!words) return true;
    const texts = [question.id, question.question, question.context, ...(question.options || []), ...answers.map((answer) => answer.text)];
    return texts.some((text) => text && text.toLowerCase().includes(words));
  }

  function filter() {
    state.shown = data.questions.map((_, i) => i).filter((i) => passes(data.questions[i]));
    state.at = 0;
    list.replaceChildren(...state.shown.map((index, at) => {
      const question = data.questions[index];
      const dots = question.answers.map((answer) => {
        const told = data.ways[answer.way].name + ": " + (verdictOf(answer) || "answered");
        return make("i", { class: "dot " + verdictOf(answer), role: "img", "aria-label": told, title: told });
      });
      const button = make("button", { type: "button", "data-at": at }, make("span", { class: "words" }, question.question || question.id || ""), make("span", { class: "dots" }, dots, make("span", null, question.topic || question.domain || question.id || "")));
      button.addEventListener("click", () => { state.at = at; show(); });
      return make("li", null, button);
    }));
    show();
  }

  function fromAddress() {
    const match = /^#question=(.*)$/.exec(location.hash);
    if (!match) return;
    try {
      const id = decodeURIComponent(match[1]), at = state.shown.findIndex((i) => data.questions[i].id === id);
      if (at >= 0) state.at = at;
    } catch (error) {
      state.at = 0; // no address that this page wrote
    }
  }

  function button(text, label, by) {
    const element = make("button", { type: "button", "aria-label": label }, text);
    element.addEventListener("click", () => go(by));
    return element;
  }

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (typing && event.key === "Escape") event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && event.target.closest && event.target.closest(".scroll, .list, .said")) return; // they scroll
    if (event.key === "j" || event.key === "ArrowRight") go(1);
    else if (event.key === "k" || event.key === "ArrowLeft") go(-1);
    else if (event.key >= "1" && event.key <= String(MAPS.length) && detail.querySelector(".maps button")) chooseMap(Number(event.key) - 1);
    else if (event.key === "/" && !data.single) search.focus();
    else return;
    event.preventDefault();
  });

  search.addEventListener("input", filter);
  root.replaceChildren();
  root.classList.toggle("single", data.single);
  if (!data.single) {
    const keys = make("span", { class: "count keys" }, make("kbd", null, "\u2190"), " ", make("kbd", null, "\u2192"), " ", make("kbd", null, "/"), " ", make("kbd", null, "1"), "\u2013", make("kbd", null, "4"));
    root.append(make("div", { class: "tools" }, search, way, verdict, domain.options.length > 2 ? domain : null, topic.options.length > 2 ? topic : null, button("\u2190", "Previous question", -1), count, button("\u2192", "Next question", 1), keys));
  }
  root.append(make("div", { class: "browser" }, data.single ? null : list, detail));
  const here = location.hash;
  filter();
  if (here) {
    history.replaceState(null, "", here);
    fromAddress();
    show();
    if (!here.startsWith("#question=")) history.replaceState(null, "", here);
  } else if (!data.single) {
    history.replaceState(null, "", location.pathname + location.search);
  }
})();
