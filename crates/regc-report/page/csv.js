/**
 * A cell of a CSV file (RFC 4180). A spreadsheet would take a text that begins like a formula for one, so such a text
 * gets an apostrophe.
 * @param {string | number | null} value
 */
function csvCell(value) {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n;]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {(string | number | null)[][]} rows */
function csv(rows) {
  return rows.map((row) => `${row.map(csvCell).join(',')}\r\n`).join('');
}

/** Offers a text as a file. @param {string} file @param {string} text */
function saveAs(file, text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
  const anchor = element('a', { download: file });
  // Not a place in this page: the one link that `setAttribute` does not make.
  anchor.href = url;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
