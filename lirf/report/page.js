"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const make = (tag, classes, ...children) => {
    const element = document.createElement(tag);
    if (classes) element.className = classes;
    element.append(...children);
    return element;
  };
  const picture = (source, text, mirrored) => {
    const image = make("img", mirrored ? "mirrored" : "");
    image.src = source;
    image.alt = text;
    return image;
  };
  const percent = (share) => (share >= 0.0995 ? (100 * share).toFixed(0) : (100 * share).toFixed(1)) + " %";
  const short = (number) => Number(number.toPrecision(3)).toString();

  // Of a row of tabs or a grid of tiles one is reached by Tab; arrow keys move among the rest.
  const rove = (items, columns, moved) => {
    items.forEach((item, at) => {
      item.addEventListener("keydown", (event) => {
        const wide = columns();
        const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
        let to = step === undefined ? { Home: 0, End: items.length - 1 }[event.key] : at + step;
        if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        if (wide === 1) to = (to + items.length) % items.length;
        if (to < 0 || to >= items.length) return;
        items.forEach((other, index) => (other.tabIndex = index === to ? 0 : -1));
        items[to].focus();
        moved(items[to]);
      });
    });
  };

  for (const list of document.querySelectorAll("[role=tablist]")) {
    const tabs = [...list.children];
    const select = (chosen) => {
      for (const tab of tabs) {
        tab.setAttribute("aria-selected", tab === chosen);
        tab.tabIndex = tab === chosen ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
      }
    };
    tabs.forEach((tab) => tab.addEventListener("click", () => select(tab)));
    rove(tabs, () => 1, select);
    select(tabs.find((tab) => tab.getAttribute("aria-selected") === "true"));
  }

  const showSample = (card, tile, model) => {
    const at = Number(tile.dataset.at), sample = data.samples[model][at];
    const slot = (name) => card.querySelector(`[data-slot=${name}]`);
    slot("number").textContent = at + 1;
    slot("mark").textContent = sample.memorised ? "memorised" : "not memorised";
    slot("mark").dataset.mark = sample.memorised ? "memorised" : "new";
    slot("picture").src = tile.firstElementChild.src;
    slot("bar").style.width = Math.min(100, 100 * sample.ratio) + "%";
    slot("ratio").textContent = sample.ratio.toFixed(2);
    slot("origin").textContent = sample.origin;
    card.querySelectorAll("[data-slot=near]").forEach((figure, index) => {
      const [id, mirrored, distance] = sample.nearest[index], [source, file] = data.images[id];
      figure.firstElementChild.replaceWith(
        picture(source, `Training image ${file}${mirrored ? ", mirrored" : ""}`, mirrored));
      figure.querySelector(".distance").textContent = distance.toFixed(3);
      figure.querySelector(".file").textContent = file;
    });
  };

  const count = (place, most) =>
    data.latents[place].parents.reduce((sum, [parent]) => sum < most ? sum + count(parent, most) : sum, 1);

  // A row of the tree; what is below a folded one is made when it is opened.
  const branch = (place, weight, open) => {
    const latent = data.latents[place], real = !latent.parents.length;
    const line = [
      picture(latent.picture, real ? `Training image ${latent.name}` : `Latent ${latent.name}`),
      make("b", "", percent(weight)),
      make("span", "", latent.name, make("span", "from", real ? (latent.mirrored ? " · mirrored" : "") : ` · ${latent.round}`)),
    ];
    if (real) return make("li", "", make("div", "leaf", ...line));
    const below = make("ul"), fold = make("details", "", make("summary", "", ...line), below);
    const fill = () => {
      if (!below.children.length) below.append(...latent.parents.map(([parent, part]) => branch(parent, part, open)));
    };
    fold.addEventListener("toggle", fill);
    if (open) fill();
    fold.open = open;
    return make("li", "", fold);
  };

  const showLatent = (card, tile) => {
    const place = tile.dataset.at, latent = data.latents[place];
    const facts = [["λ", latent.lambda], ["displacement", latent.displacement], ["novelty", latent.novelty]]
      .map(([name, value]) => make("span", "", `${name} ${short(value)}`));
    const head = make("div", "origin", picture(latent.picture, "The latent, decoded"),
      make("div", "", make("h4", "", latent.name),
        make("p", "facts-line", make("span", "", `admitted by ${latent.round}`), ...facts),
        make("p", "how", `seed ${latent.seed}`)));
    const images = latent.shares.map(([parent, share]) => {
      const real = data.latents[parent];
      return make("li", "", make("figure", "", picture(real.picture, `Training image ${real.name}`),
        make("figcaption", "", make("b", "", percent(share)), make("span", "file", real.name))));
    });
    const number = images.length;
    const open = count(place, 90) < 90 && matchMedia("(min-width: 30rem)").matches;
    const roots = latent.parents.map(([parent, weight]) => branch(parent, weight, open));
    const words = make("p", "", `It descends from ${number} real image${number === 1 ? "" : "s"}:`);
    words.setAttribute("role", "status");
    const tree = make("div", "descent", make("ul", "tree", ...roots));
    tree.tabIndex = 0;
    tree.setAttribute("role", "region");
    tree.setAttribute("aria-label", `Ancestors of ${latent.name}`);
    card.replaceChildren(head, words, make("ul", "strip", ...images.slice(0, 12)),
      ...(number > 12 ? [make("p", "how", `and ${number - 12} more, each with a smaller share`)] : []),
      make("h4", "", "It was corrected towards"), tree);
  };

  for (const tiles of document.querySelectorAll(".tiles")) {
    const items = [...tiles.children], card = tiles.parentElement.querySelector(".detail");
    const show = (tile) => tiles.dataset.kind === "sample" ? showSample(card, tile, tiles.dataset.model) : showLatent(card, tile);
    rove(items, () => getComputedStyle(tiles).gridTemplateColumns.split(" ").length, () => {});
    items.forEach((tile) => tile.addEventListener("click", () => {
      items.forEach((other) => {
        other.setAttribute("aria-pressed", other === tile);
        other.tabIndex = other === tile ? 0 : -1;
      });
      show(tile);
    }));
    if (tiles.dataset.kind === "latent" && items.length) show(items[0]);
  }
  document.documentElement.classList.remove("plain");
})();
