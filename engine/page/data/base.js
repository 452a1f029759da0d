"use strict";
// What the pages have in common. Everything that comes from the data reaches a page as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]/u;

function make(name, classes, text, ...children) {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  if (text !== undefined && text !== null) element.textContent = text;
  element.append(...children);
  return element;
}

// A character that is not seen, or that changes the order of others, by its code point.
function hiddenMark(character) {
  return make("mark", "hidden", "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"));
}

// `heads` are texts; columns from `numbers` on hold numbers.
function table(heads, rows, numbers = heads.length) {
  const cells = heads.map((text, at) => make("th", at >= numbers ? "number" : "", text));
  for (const cell of cells) cell.scope = "col";
  const head = make("thead", "", null, make("tr", "", null, ...cells));
  return make("table", "", null, head, make("tbody", "", null, ...rows));
}

document.getElementById("scheme")?.addEventListener("click", () => {
  const root = document.documentElement.style;
  const dark = root.colorScheme ? root.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.colorScheme = dark ? "light" : "dark";
});
