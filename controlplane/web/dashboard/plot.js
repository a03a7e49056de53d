// Lines over time as SVG, and the words that figures are shown in. Knows no session and no core.

const SVG = 'http://www.w3.org/2000/svg';
/** Size of the drawing in its own units; it is stretched to the place it has. */
const [WIDTH, HEIGHT] = [600, 120];

/** An element with text and a class. */
export function element(name, text = '', className = '') {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A rate of bit/s in words. */
export function bits(rate) {
  if (rate === null || rate === undefined) return '–';
  if (rate >= 1e9) return `${(rate / 1e9).toFixed(2)} Gbit/s`;
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(rate / 1e3)} kbit/s`;
}

/** A count in words. */
export function count(value) { return Math.round(value).toLocaleString('en'); }

/** A share of 1/1000 in words. */
export function percent(share) { return `${(share / 10).toFixed(share && share < 100 ? 1 : 0)} %`; }

/** A time in milliseconds in words. */
export function millis(value) {
  return value === null || value === undefined ? '–' : `${Math.round(value)} ms`;
}

/** One plot in a place of its own. `words` says a value in words. */
export class Plot {
  #words;
  #svg;
  #lines;
  #legends;
  #top;
  #title;
  #least;

  /** `least` is the lowest top of the axis: so small changes of a small value look small. */
  constructor(host, title, names, words, least) {
    [this.#title, this.#words, this.#least] = [title, words, least];
    const figure = element('figure', '', 'plot');
    const caption = element('figcaption');
    caption.append(element('h2', title));
    this.#legends = names.map((name, index) => {
      const legend = element('span', name, `legend c${index}`);
      legend.dataset.name = name;
      caption.append(legend);
      return legend;
    });
    this.#svg = document.createElementNS(SVG, 'svg');
    this.#svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    this.#svg.setAttribute('preserveAspectRatio', 'none');
    this.#svg.setAttribute('role', 'img');
    for (const y of [1, HEIGHT / 2, HEIGHT - 1]) {
      const line = document.createElementNS(SVG, 'path');
      line.setAttribute('d', `M0 ${y}H${WIDTH}`);
      line.setAttribute('class', 'grid');
      this.#svg.append(line);
    }
    this.#lines = names.map((_, index) => {
      const line = document.createElementNS(SVG, 'polyline');
      line.setAttribute('class', `c${index}`);
      this.#svg.append(line);
      return line;
    });
    const axis = element('div', '', 'axis');
    this.#top = element('span');
    axis.append(this.#top, element('span', 'last two minutes'));
    figure.append(caption, this.#svg, axis);
    host.append(figure);
  }

  /** Draws series of the same length, the oldest value first, of at most `room`. Null: unknown. */
  draw(series, room) {
    const known = series.flat().filter((value) => value !== null);
    const top = Math.max(this.#least, ...known) * 1.05;
    const x = (index, length) => WIDTH * (1 - (length - 1 - index) / (room - 1));
    series.forEach((values, which) => {
      const points = values.map((value, index) => value === null ? ''
        : `${x(index, values.length).toFixed(1)},${(HEIGHT - 2 - value / top * (HEIGHT - 4)).toFixed(1)}`);
      this.#lines[which].setAttribute('points', points.join(' '));
      const legend = this.#legends[which];
      legend.textContent = `${legend.dataset.name} ${this.#words(values.at(-1) ?? null)}`;
    });
    this.#top.textContent = `top: ${this.#words(top)}`;
    const now = this.#legends.map((legend) => legend.textContent).join(', ');
    this.#svg.setAttribute('aria-label', `${this.#title}, now: ${now}`);
  }
}

/** Makes the rows of a table those of `items` by their key; a row that stays keeps the focus. `cells`
 * gives, of an item, text, [text, class] or an element for each column. */
export function fill(table, items, key, cells) {
  const body = table.tBodies[0];
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  items.forEach((item, place) => {
    let row = known.get(key(item));
    known.delete(key(item));
    if (!row) {
      row = element('tr');
      row.dataset.key = key(item);
    }
    const heads = [...table.tHead.rows[0].cells];
    cells(item).forEach((cell, column) => {
      let there = row.cells[column];
      if (!there) {
        there = element(column ? 'td' : 'th', '', heads[column].className);
        if (!column) there.scope = 'row';
        row.append(there);
      }
      if (cell instanceof Node) {
        if (!there.firstChild?.isEqualNode(cell)) there.replaceChildren(cell);
        return;
      }
      const [text, className] = [cell].flat();
      if (there.textContent !== text) there.textContent = text;
      there.className = `${heads[column].className} ${className ?? ''}`.trim();
    });
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  known.forEach((row) => row.remove());
}
