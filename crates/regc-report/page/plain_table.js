/**
 * A short table, as it is given.
 * @param {string} caption @param {[title: string, kind: string][]} columns @param {(Node | string)[][]} rows
 */
function plainTable(caption, columns, rows) {
  const head = element('tr', {}, ...columns.map(([title, kind]) => element('th', { scope: 'col', class: kind }, title)));
  const body = rows.map((cells) => element('tr', {}, ...cells.map((cell, index) => element('td', { class: columns[index][1] }, cell))));
  const table = element('table', {}, element('caption', { class: 'unseen' }, caption), element('thead', {}, head),
    element('tbody', {}, ...body));
  return element('div', { class: 'scrolls', tabindex: 0, role: 'region', 'aria-label': caption }, table);
}

/** @param {[term: string, value: Node | string][]} entries */
function facts(...entries) {
  return element('dl', { class: 'facts' },
    ...entries.map(([term, value]) => element('div', {}, element('dt', {}, term), element('dd', {}, value))));
}
