// A list of which each entry has one element, made once and changed in place: whoever has the focus keeps it.

export class KeyedList {
  /** `make(entry)` gives a row: an object with `root`, its element, and `show(entry)`. */
  constructor(root, make) {
    Object.assign(this, { root, make });
    this.rows = new Map();
  }

  /** Shows these entries in this order, `keyOf` telling who is who. */
  show(entries, keyOf) {
    const shown = new Set();
    let at = this.root.firstElementChild;
    for (const entry of entries) {
      const key = keyOf(entry);
      shown.add(key);
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = this.make(entry)));
      row.show(entry);
      // Only what stands elsewhere is moved: to move the one that has the focus would lose it.
      if (row.root === at) at = at.nextElementSibling;
      else this.root.insertBefore(row.root, at);
    }
    for (const [key, { root }] of this.rows) {
      if (shown.has(key)) continue;
      root.remove();
      this.rows.delete(key);
    }
  }

  /** Shows the time that goes by. */
  tick() {
    for (const row of this.rows.values()) row.tick?.();
  }
}
