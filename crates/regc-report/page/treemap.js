const SMALLEST_TILE = 2400;
const SMALLEST_INNER_TILE = 1800;
const HEAD_HEIGHT = 22;

/** A map of the registry in which area is bytes, with the same as a table beside it. */
class Treemap {
  /** @param {Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.area = tree.root;
    this.skipped = 0;
    this.width = 0;
    this.height = 0;
    this.tiles = [];
    const label = 'Map of the registry: arrow keys move, Enter zooms in, Escape zooms out';
    this.map = element('div', { class: 'map', role: 'group', 'aria-label': label });
    this.map.addEventListener('keydown', (event) => this.key(event));
    this.trail = element('nav', { class: 'trail', 'aria-label': 'Zoom' });
    this.list = element('div', { class: 'listed' });
    this.measure = element(
      'select',
      {},
      element('option', {}, 'exclusive and shared bytes'),
      element('option', {}, 'exclusive bytes'),
    );
    this.measure.addEventListener('change', () => this.render());
    const key = element(
      'div',
      { class: 'key' },
      sample('exclusive', 'exclusive'),
      sample('shared', 'shared, counted wherever it is needed'),
      element('label', {}, 'Area: ', this.measure),
    );
    const note = 'A click or Enter zooms in, Escape zooms out.';
    this.root = element(
      'div',
      {},
      element('div', { class: 'maptools' }, this.trail, key),
      element('div', { class: 'mapped' }, this.map, this.list),
      element('p', { class: 'note' }, note),
    );
    new ResizeObserver(() => {
      if (this.map.clientWidth !== this.width) this.render();
    }).observe(this.map);
  }

  /** @param {Area} area */
  size(area) {
    return this.measure.selectedIndex === 1 ? area.exclusive : area.exclusive + area.shared;
  }

  /** The parts of an area, the largest first. @param {Area} area */
  parts(area) {
    return [...area.parts()].sort((left, right) => this.size(right) - this.size(left));
  }

  /** Zooms to an area. @param {string} path @param {number} skipped how many of the largest parts are left out */
  show(path, skipped = 0) {
    const from = this.area;
    this.area = this.tree.find(path) ?? this.tree.root;
    this.skipped = skipped;
    const hadFocus = this.map.contains(document.activeElement);
    this.render();
    if (!hadFocus) return;
    const back = this.tiles.find((tile) => tile.area !== null && tile.area === from);
    this.focus(back ?? this.tiles[0]);
    announce(`${this.area.path || 'registry'}: ${counted(this.area.parts().length, 'part')}`);
  }

  render() {
    this.width = this.map.clientWidth;
    this.height = this.map.clientHeight;
    this.tiles = [];
    const box = { x: 0, y: 0, width: this.width, height: this.height };
    const parts = this.parts(this.area).slice(this.skipped);
    this.map.replaceChildren();
    if (box.width > 0) this.lay(this.area, parts, box, this.skipped, true);
    if (parts.length === 0) this.map.append(element('p', {}, 'Empty'));
    this.tiles.forEach((tile, index) => {
      tile.button.tabIndex = index === 0 ? 0 : -1;
    });
    this.trail.replaceChildren(trailTo(this.area, this.skipped));
    this.list.replaceChildren(listOf(this.area, parts, this.skipped));
  }

  /**
   * @param {Area} above @param {Area[]} parts @param {Box} box @param {number} skipped
   * @param {boolean} isOuter whether parts show their own parts
   */
  lay(above, parts, box, skipped, isOuter) {
    const sizes = parts.map((part) => this.size(part));
    const { own, share, isToScale } = folded(
      sizes,
      box.width * box.height,
      isOuter ? SMALLEST_TILE : SMALLEST_INNER_TILE,
    );
    const values = sizes.slice(0, own);
    const all = values.reduce((sum, value) => sum + value, 0);
    const hasOthers = own < parts.length;
    const least = (all * SMALLEST_TILE) / (box.width * box.height);
    if (hasOthers) values.push(own === 0 ? 1 : Math.max((all * share) / (1 - share), least));
    const boxes = squarify(values, box);
    parts.slice(0, own).forEach((part, index) => this.place(part, boxes[index], isOuter));
    if (own === parts.length - 1) this.place(parts[own], boxes[own], false);
    else if (hasOthers) this.placeOthers(above, parts.slice(own), boxes[own], skipped + own, isToScale);
  }

  /** @param {Area} part @param {Box} box @param {boolean} isOuter */
  place(part, box, isOuter) {
    const text = `${part.kind} ${part.path}: exclusive ${bytes(part.exclusive)}, shared ${bytes(part.shared)}`;
    const inner = { x: box.x + 3, y: box.y + HEAD_HEIGHT, width: box.width - 6, height: box.height - HEAD_HEIGHT - 3 };
    const isGroup = isOuter && inner.width > 110 && inner.height > 60 && part.parts().length > 0;
    const head = isGroup ? { ...box, height: HEAD_HEIGHT } : box;
    if (isGroup) {
      const frame = element('div', { class: 'frame' });
      this.position(frame, box);
      this.map.append(frame);
    }
    const tile = this.tile(part, titleOf(part), bytes(this.size(part)), text, head, part.route);
    if (isGroup) {
      tile.classList.add('head');
      this.lay(part, this.parts(part), inner, 0, false);
    } else {
      const needed = part.exclusive + part.shared;
      const solid = element('span', { class: 'solid', 'aria-hidden': 'true' });
      solid.style.width = `${needed > 0 ? (100 * part.exclusive) / needed : 0}%`;
      tile.prepend(solid);
      tile.classList.add('split');
    }
  }

  /** @param {Area} above @param {Area[]} others @param {Box} box @param {number} skipped @param {boolean} isToScale */
  placeOthers(above, others, box, skipped, isToScale) {
    const exclusive = bytes(sumOf(others));
    const title = counted(others.length, 'other');
    const text = `in ${above.path || 'the registry'}: exclusive bytes${isToScale ? '' : ', the area is not to scale'}`;
    this.tile(null, title, exclusive, text, box, route('map', above.path, String(skipped))).classList.add('others');
  }

  /**
   * Places an element by parts of the map: on paper, the map has another width.
   * @param {HTMLElement} placed @param {Box} box
   */
  position(placed, box) {
    const [across, down] = [100 / this.width, 100 / this.height];
    Object.assign(placed.style, {
      left: `${box.x * across}%`,
      top: `${box.y * down}%`,
      width: `${box.width * across}%`,
      height: `${box.height * down}%`,
    });
  }

  /**
   * @param {Area | null} area @param {string} title @param {string} size @param {string} text what is not seen in it
   * @param {Box} box @param {string} leads where a click leads
   */
  tile(area, title, size, text, box, leads) {
    const zoom = () => {
      location.hash = leads;
    };
    const made = button('', zoom, { class: 'tile', title: text });
    made.append(
      element('span', { class: 'label name' }, title),
      ' ',
      element('span', { class: 'size' }, size),
      element('span', { class: 'unseen' }, `, ${text}`),
    );
    this.position(made, box);
    this.map.append(made);
    this.tiles.push({ area, button: made, box });
    return made;
  }

  focus(tile) {
    if (!tile) return;
    for (const other of this.tiles) other.button.tabIndex = -1;
    tile.button.tabIndex = 0;
    tile.button.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const current = this.tiles.find((tile) => tile.button === document.activeElement);
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === 'Escape') {
      this.zoomOut();
    } else if (event.key === 'Home') {
      this.focus(this.tiles[0]);
    } else if (event.key === 'End') {
      this.focus(this.tiles.at(-1));
    } else if (current && directions[event.key]) {
      this.focus(nearest(this.tiles, current, directions[event.key]));
    } else {
      return;
    }
    event.preventDefault();
  }

  zoomOut() {
    if (this.skipped > 0) location.hash = this.area.route;
    else if (this.area.above !== null) location.hash = this.area.above.route;
  }
}

/** What a pattern stands for. @param {string} kind @param {string} text */
function sample(kind, text) {
  return element('span', {}, element('span', { class: `sample ${kind}`, 'aria-hidden': 'true' }), text);
}
