/** The first view. It is made once, and zooms in its map. */
class Overview {
  /** @param {Registry} registry */
  constructor(registry) {
    const { summary } = registry;
    this.map = new Treemap(new Tree(registry));
    this.mapped = section('Map', this.map.root);
    const origin = facts(
      ['Storage', named(summary.store)],
      ['Configuration', summary.config === null ? 'none' : named(summary.config)],
      ['Date', minute(summary.made)],
      ['Version', `regc ${summary.regc}`],
    );
    this.root = element(
      'div',
      {},
      element('h1', { tabindex: -1 }, 'Registry'),
      origin,
      totalsSection(registry),
      reclaimableSection(registry),
      this.mapped,
      topsSection(registry),
      wordsSection(),
    );
  }

  /** @param {string[]} parts */
  show([, path = '', skipped = '0']) {
    this.map.show(path, Number.parseInt(skipped, 10) || 0);
  }
}
