/**
 * A short table, as it is given.
 * @param {string} caption @param {Record<string, string>} columns the kinds by the titles
 * @param {(Node | string)[][]} rows
 */
function plainTable(caption, columns, rows) {
  const kinds = Object.values(columns);
  const titles = Object.keys(columns).map((title, index) =>
    element('th', { scope: 'col', class: kinds[index] }, title),
  );
  const body = rows.map((cells) =>
    element('tr', {}, ...cells.map((cell, index) => element('td', { class: kinds[index] }, cell))),
  );
  const table = element(
    'table',
    {},
    element('caption', { class: 'unseen' }, caption),
    element('thead', {}, element('tr', {}, ...titles)),
    element('tbody', {}, ...body),
  );
  return element('div', { class: 'scrolls', tabindex: 0, role: 'region', 'aria-label': caption }, table);
}

/** @param {[term: string, value: Node | string][]} entries */
function facts(...entries) {
  return element(
    'dl',
    { class: 'facts' },
    ...entries.map(([term, value]) => element('div', {}, element('dt', {}, term), element('dd', {}, value))),
  );
}
