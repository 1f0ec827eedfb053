/**
 * The keys of the metadata as a tree.
 *
 * @typedef {{id: number, key: string, type: string, value: string, count: number|null,
 *   items: string[]|null, text: string|null, chars: number|null}} Leaf
 * @typedef {{name: string, depth: number, children: Node_[], leaf: Leaf|null, open: boolean,
 *   parent: Node_|null, at: number, of: number}} Node_
 */

/** Groups leaves by the dots of their keys; a group with one child is joined to it. */
function grow(leaves) {
  const root = { name: "", depth: 0, children: [], leaf: null, open: true, parent: null };
  for (const leaf of leaves) {
    let node = root;
    for (const part of leaf.key.split(".")) {
      let next = node.children.find((c) => c.name === part);
      if (!next) {
        next = { name: part, depth: 0, children: [], leaf: null, open: false, parent: node };
        node.children.push(next);
      }
      node = next;
    }
    node.leaf = leaf;
  }
  const settle = (node, depth) => {
    while (node.children.length === 1 && !node.leaf && node.parent) {
      const only = node.children[0];
      Object.assign(node, { name: `${node.name}.${only.name}`, leaf: only.leaf, children: only.children });
      for (const child of node.children) child.parent = node;
    }
    node.depth = depth;
    node.open = node.children.length > 0 && leaves.length <= 200;
    node.children.forEach((child, i) => {
      Object.assign(child, { at: i + 1, of: node.children.length });
      settle(child, depth + 1);
    });
  };
  settle(root, 0);
  return root;
}
