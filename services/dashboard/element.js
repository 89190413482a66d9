// Making elements. Text goes in as text: what the server says never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with a class and children, which are elements or text. */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The element of the page that has this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Sets text only where it differs, so that nothing is laid out again for nothing. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Room above the highest value, so that a line that is level does not stick to the edge. */
const HEADROOM = 1.4;

/** A line of the last values, as wide as its box. `top` is the value at its upper edge, at the least. */
export class Sparkline {
  constructor(points, top) {
    this.points = points;
    this.top = top;
    this.root = document.createElementNS(SVG, "svg");
    this.root.setAttribute("class", "spark");
    this.root.setAttribute("viewBox", `0 0 ${points - 1} 20`);
    this.root.setAttribute("preserveAspectRatio", "none");
    this.root.setAttribute("aria-hidden", "true");
    this.area = this.root.appendChild(document.createElementNS(SVG, "path"));
    this.area.setAttribute("class", "area");
    this.line = this.root.appendChild(document.createElementNS(SVG, "path"));
    this.line.setAttribute("class", "line");
  }

  /** Draws the values, the last one at the right edge. */
  draw(values) {
    if (values.length === 0) return;
    const top = Math.max(this.top, HEADROOM * Math.max(...values));
    const begin = this.points - values.length;
    const steps = values.map((value, index) => `${begin + index} ${(19 - (value / top) * 18).toFixed(2)}`);
    const line = `M${steps.join("L")}`;
    this.line.setAttribute("d", values.length > 1 ? line : `${line}h.01`);
    this.area.setAttribute("d", `${line}L${this.points - 1} 20L${begin} 20Z`);
  }
}
