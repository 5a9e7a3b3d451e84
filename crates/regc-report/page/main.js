/** The views that are a table: their route, title, and how they are made. They are kept, with their filters. */
const LISTS = [
  ['repositories', 'Repositories', repositoriesView],
  ['tags', 'Tags', tagsView],
  ['untagged', 'Untagged', untaggedView],
  ['layers', 'Layers', layersView],
  ['findings', 'Findings', findingsView],
  ['uploads', 'Uploads', uploadsView],
];

/** Shows the view that the address names. */
class Pages {
  /** @param {Registry} registry */
  constructor(registry) {
    this.registry = registry;
    this.kept = new Map();
    this.overview = null;
    this.current = null;
    this.main = document.getElementById('main');
    const entries = [['', 'Overview'], ...LISTS];
    this.links = new Map(entries.map(([path, title]) => [path, link(route(path), title)]));
    document
      .getElementById('views')
      .append(element('ul', {}, ...[...this.links.values()].map((entry) => element('li', {}, entry))));
    const banner = cutBanner(registry);
    if (banner !== null) this.main.before(banner);
    window.addEventListener('hashchange', () => this.go());
    window.addEventListener('beforeprint', () => this.print(true));
    window.addEventListener('afterprint', () => this.print(false));
  }

  async go() {
    const parts = partsOf(location.hash) ?? (this.current === null ? [''] : null);
    // The link to the content leads to no view.
    if (parts === null) return;
    const [first] = parts;
    if (first === '' || first === 'map') {
      this.showOverview(parts);
      this.shown();
      return;
    }
    const going = {};
    this.current = going;
    setTimeout(() => {
      if (this.current === going) this.main.replaceChildren(element('p', { role: 'status' }, 'Reading the details…'));
    }, 100);
    const view = await this.view(parts).catch(unreadableView);
    // Another view may have been opened meanwhile.
    if (this.current !== going) return;
    this.current = view;
    this.show(view, first);
    this.shown();
  }

  /** Notes in the document which address is shown: reading the details takes a moment. */
  shown() {
    document.documentElement.dataset.shown = location.hash;
  }

  /** @param {string[]} parts */
  showOverview(parts) {
    this.overview ??= new Overview(this.registry);
    if (this.current !== this.overview) this.show({ title: 'Overview', root: this.overview.root }, '');
    this.current = this.overview;
    this.overview.show(parts);
    if (parts[0] === 'map' && !this.isInView(this.overview.map.root)) this.overview.mapped.scrollIntoView();
  }

  /** Whether enough of an element is in the window. @param {Element} root */
  isInView(root) {
    const { top: upper, bottom } = root.getBoundingClientRect();
    return upper < window.innerHeight - 200 && bottom > 200;
  }

  /** @param {string[]} parts */
  async view([first, second = '', third = '']) {
    const list = LISTS.find(([path]) => path === first);
    if (list) {
      if (!this.kept.has(first)) this.kept.set(first, await list[2](this.registry));
      return this.kept.get(first);
    }
    if (first === 'repository') return repositoryView(this.registry, second);
    if (first === 'image') return imageView(this.registry, second, third);
    return missingView('What this address names');
  }

  show({ title, root }, path) {
    const isFirst = this.main.childElementCount === 0 || this.main.querySelector('noscript') !== null;
    this.main.replaceChildren(root);
    document.title = `${visible(title)} – registry report`;
    for (const [of, entry] of this.links) {
      if (of === path) entry.setAttribute('aria-current', 'page');
      else entry.removeAttribute('aria-current');
    }
    if (isFirst) return;
    window.scrollTo(0, 0);
    root.querySelector('h1').focus({ preventScroll: true });
  }

  /** @param {boolean} isPrinted */
  print(isPrinted) {
    for (const table of this.main.querySelectorAll('.data')) TABLES.get(table).print(isPrinted);
  }
}

/** @param {Error} error */
function unreadableView(error) {
  return page(
    'Not readable',
    element('p', { class: 'cut', role: 'alert' }, `This report cannot be read: ${error.message}`),
  );
}

async function start() {
  document.getElementById('scheme').append(schemeSwitch());
  try {
    const registry = new Registry(await decodeBlock('summary'));
    const { store, made, regc } = registry.summary;
    document.getElementById('bottom').append(element('p', {}, `${store}, ${minute(made)}, regc ${regc}`));
    await new Pages(registry).go();
  } catch (error) {
    document.getElementById('main').append(unreadableView(error).root);
  }
}

start();
