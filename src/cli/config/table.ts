/** A cell, or a cell with one of the colours of terminals. */
export type Cell = string | { readonly text: string; readonly colour: number };

const BOLD = 1;
const GAP = '   ';

/** Columns as wide as their widest cell; the last one is not padded. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  colour: boolean,
): string {
  const widths = header.map((title, i) =>
    rows.reduce((widest, row) => Math.max(widest, width(textOf(row[i] ?? ''))), title.length),
  );
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, i) => {
        const text = textOf(cell);
        const padding = i === cells.length - 1 ? '' : ' '.repeat((widths[i] ?? 0) - width(text));
        return paint(cell, colour) + padding;
      })
      .join(GAP)
      .trimEnd();
  const titles = header.map((title): Cell => ({ text: title, colour: BOLD }));
  return `${[titles, ...rows].map(line).join('\n')}\n`;
}

export function paint(cell: Cell, colour: boolean): string {
  const text = textOf(cell);
  return colour && typeof cell !== 'string' ? `\u001b[${cell.colour}m${text}\u001b[0m` : text;
}

function textOf(cell: Cell): string {
  // A line break of an error would break the table.
  return (typeof cell === 'string' ? cell : cell.text).replaceAll('\n', '; ');
}

function width(text: string): number {
  return [...text].length;
}
