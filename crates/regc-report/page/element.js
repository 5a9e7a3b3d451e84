/** Attributes that may hold what a client chose: none of them is run, loaded or parsed as markup. */
const ATTRIBUTES = new Set([
  'class',
  'id',
  'title',
  'role',
  'type',
  'scope',
  'tabindex',
  'value',
  'for',
  'hidden',
  'colspan',
  'open',
  'selected',
  'disabled',
  'lang',
  'autocomplete',
  'spellcheck',
  'viewBox',
  'x',
  'y',
  'width',
  'height',
  'd',
  'download',
  'datetime',
]);
const SVG = 'http://www.w3.org/2000/svg';

/**
 * Sets an attribute if it is harmless, with hidden characters escaped where it is read. A link leads to a place in this
 * page only: what a client chose is encoded in it.
 * @param {Element} target @param {string} name @param {string | number | boolean} value
 */
function setAttribute(target, name, value) {
  const isLink = name === 'href' && String(value).startsWith('#/');
  if (!isLink && !ATTRIBUTES.has(name) && !name.startsWith('aria-'))
    throw new Error(`attribute ${name} is not allowed`);
  const isRead = name === 'title' || name.startsWith('aria-');
  const text = value === true ? '' : String(value);
  target.setAttribute(name, isRead ? visible(text) : text);
}

/**
 * @param {Element} target @param {Record<string, string | number | boolean | null | undefined>} attributes
 * @param {(Node | string | null)[]} children strings become text, with hidden characters escaped
 */
function fill(target, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) setAttribute(target, name, value);
  }
  for (const child of children) {
    if (child !== null) target.append(typeof child === 'string' ? visible(child) : child);
  }
  return target;
}

/** @param {string} tag */
function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** @param {string} tag */
function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** @param {string} title @param {() => void} act */
function button(title, act, attributes = {}) {
  const made = element('button', { type: 'button', ...attributes }, title);
  made.addEventListener('click', act);
  return made;
}

/** A link to a place in this page. @param {string} route @param {string} text */
function link(route, text, attributes = {}) {
  return element('a', { href: route, class: 'name', ...attributes }, text);
}

/** A name that a client chose: it does not turn the text around it. @param {string} text */
function named(text) {
  return element('span', { class: 'name' }, text);
}

/** @param {string} title @param {(Node | string | null)[]} children */
function section(title, ...children) {
  return element('section', {}, element('h2', {}, title), ...children);
}

/** @param {string} text said to a screen reader */
function announce(text) {
  document.getElementById('announcement').textContent = visible(text);
}
