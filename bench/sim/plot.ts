/** One line of a plot: a value per second. */
export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
}

export interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly lowest: number;
  readonly highest: number;
}

export interface Mark {
  readonly second: number;
  readonly label: string;
}

const WIDTH = 860;
const LEFT = 60;
const RIGHT = 20;
const HEIGHT = 190;
const GAP = 56;
const TOP = 64;

/** Panels over one axis of seconds, as SVG. The same numbers give the same text. */
export function plot(title: string, panels: readonly Panel[], marks: readonly Mark[]): string {
  const seconds = Math.max(...panels.flatMap((panel) => panel.lines.map((line) => line.values.length)));
  const x = (second: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * second) / seconds;
  const height = TOP + panels.length * (HEIGHT + GAP);
  const parts = panels.map((panel, i) => drawPanel(panel, TOP + i * (HEIGHT + GAP), x, seconds));
  const bottom = height - GAP;
  const markParts = marks.map(
    ({ second, label }) =>
      `<line x1="${round(x(second))}" x2="${round(x(second))}" y1="${TOP}" y2="${bottom}" stroke="#999" stroke-dasharray="4 3"/>` +
      `<text x="${round(x(second) + 4)}" y="${TOP - 6}" fill="#555">${escapeXml(label)}</text>`,
  );
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="${LEFT}" y="24" font-size="16">${escapeXml(title)}</text>`,
    ...parts,
    ...markParts,
    '</svg>',
  ].join('\n')}\n`;
}

function drawPanel(panel: Panel, top: number, x: (second: number) => number, seconds: number): string {
  const { lowest, highest, lines } = panel;
  const y = (value: number): number => {
    const part = (Math.min(highest, Math.max(lowest, value)) - lowest) / (highest - lowest);
    return top + HEIGHT * (1 - part);
  };
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const value = lowest + part * (highest - lowest);
    return (
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(value))}" y2="${round(y(value))}" stroke="#ddd"/>` +
      `<text x="${LEFT - 8}" y="${round(y(value) + 4)}" text-anchor="end" fill="#555">${round(value)}</text>`
    );
  });
  const ticks: string[] = [];
  for (let second = 0; second <= seconds; second += 10) {
    ticks.push(
      `<text x="${round(x(second))}" y="${top + HEIGHT + 16}" text-anchor="middle" fill="#555">${second} s</text>`,
    );
  }
  const drawn = lines.map(({ values, colour }) => {
    const points = values.map((value, i) => `${round(x(i + 0.5))},${round(y(value))}`);
    return `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.join(' ')}"/>`;
  });
  const legend = lines.map(
    ({ name, colour }, i) =>
      `<text x="${WIDTH - RIGHT - 130 * (lines.length - i) + 130}" y="${top + HEIGHT + 34}" text-anchor="end" fill="${colour}">${escapeXml(name)}</text>`,
  );
  const title = `<text x="${LEFT}" y="${top + HEIGHT + 34}" font-weight="bold">${escapeXml(panel.title)}</text>`;
  return [...grid, ...ticks, ...drawn, ...legend, title].join('\n');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
