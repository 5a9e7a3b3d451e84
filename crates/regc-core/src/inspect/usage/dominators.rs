//! Dominators: what is reachable only through something else.
//!
//! A node of a graph dominates another node if every path from the root to that node leads through it: without it,
//! that node would be unreachable. Walking the graph without each node in turn would take quadratic time, so this is
//! the simple version of Lengauer and Tarjan's algorithm ("A Fast Algorithm for Finding Dominators in a Flowgraph",
//! 1979), whose time is the number of edges times the logarithm of the number of nodes. Nothing recurses: clients
//! decide how deep a graph is.

const NONE: u32 = u32::MAX;

/// The reachable nodes, and their dominators.
pub(super) struct Dominators {
    /// The nodes that are reachable from the root, each after the nodes that dominate it. The first is the root.
    pub(super) order: Vec<u32>,
    /// For each of those, the position in that order of the nearest node that dominates it. The root has its own
    /// position.
    pub(super) above: Vec<u32>,
}

/// For each node, the nodes at the other end of its edges.
pub(super) struct Adjacent {
    starts: Vec<u32>,
    nodes: Vec<u32>,
}

impl Adjacent {
    pub(super) fn new(nodes: usize, edges: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0; nodes + 1];
        for (from, _) in edges.clone() {
            starts[from as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut adjacent = vec![0; starts[nodes] as usize];
        let mut next = starts.clone();
        for (from, to) in edges {
            adjacent[next[from as usize] as usize] = to;
            next[from as usize] += 1;
        }
        Self { starts, nodes: adjacent }
    }

    pub(super) fn of(&self, node: u32) -> &[u32] {
        &self.nodes[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }
}

/// Finds the dominators of a graph with this number of nodes, of which the first is the root.
pub(super) fn dominators(nodes: usize, edges: &[(u32, u32)]) -> Dominators {
    let successors = Adjacent::new(nodes, edges.iter().copied());
    let predecessors = Adjacent::new(nodes, edges.iter().map(|&(from, to)| (to, from)));
    let (order, parents) = depth_first(nodes, &successors);
    let mut numbers = vec![NONE; nodes];
    for (number, &node) in order.iter().enumerate() {
        numbers[node as usize] = number as u32;
    }

    // From here on, nodes are identified by their positions in the order.
    let mut forest = Forest::new(order.len());
    let mut above = vec![0; order.len()];
    // The nodes with the same semidominator, as a linked list: the first node by semidominator, and the next of each
    // node.
    let (mut first, mut next) = (vec![NONE; order.len()], vec![NONE; order.len()]);
    for node in (1..order.len()).rev() {
        for &from in predecessors.of(order[node]) {
            let from = numbers[from as usize];
            if from != NONE {
                let least = forest.least(from);
                forest.semi[node] = forest.semi[node].min(forest.semi[least as usize]);
            }
        }
        let (semi, parent) = (forest.semi[node] as usize, parents[node]);
        next[node] = std::mem::replace(&mut first[semi], node as u32);
        forest.ancestor[node] = parent;
        let mut waiting = std::mem::replace(&mut first[parent as usize], NONE);
        while waiting != NONE {
            let least = forest.least(waiting);
            let is_lower = forest.semi[least as usize] < forest.semi[waiting as usize];
            above[waiting as usize] = if is_lower { least } else { parent };
            waiting = next[waiting as usize];
        }
    }
    for node in 1..order.len() {
        if above[node] != forest.semi[node] {
            above[node] = above[above[node] as usize];
        }
    }
    Dominators { order, above }
}

/// Returns the nodes in the order of a depth-first walk, and for each the number of the node from which it was
/// reached.
fn depth_first(nodes: usize, successors: &Adjacent) -> (Vec<u32>, Vec<u32>) {
    let (mut order, mut parents) = (Vec::new(), Vec::new());
    let mut is_reached = vec![false; nodes];
    let mut pending = vec![(0, 0)];
    while let Some((node, parent)) = pending.pop() {
        if !std::mem::replace(&mut is_reached[node as usize], true) {
            let number = order.len() as u32;
            order.push(node);
            parents.push(parent);
            let unreached = successors.of(node).iter().filter(|&&to| !is_reached[to as usize]);
            pending.extend(unreached.map(|&to| (to, number)));
        }
    }
    (order, parents)
}

/// The part of the walk that has been processed, with paths that are compressed whenever they are followed.
struct Forest {
    semi: Vec<u32>,
    ancestor: Vec<u32>,
    label: Vec<u32>,
    way: Vec<u32>,
}

impl Forest {
    fn new(nodes: usize) -> Self {
        let own: Vec<u32> = (0..nodes as u32).collect();
        Self { semi: own.clone(), ancestor: vec![NONE; nodes], label: own, way: Vec::new() }
    }

    /// Returns the node with the least semidominator on the path up from a node.
    fn least(&mut self, node: u32) -> u32 {
        if self.ancestor[node as usize] == NONE {
            return node;
        }
        let mut at = node;
        while self.ancestor[self.ancestor[at as usize] as usize] != NONE {
            self.way.push(at);
            at = self.ancestor[at as usize];
        }
        while let Some(at) = self.way.pop() {
            let (at, above) = (at as usize, self.ancestor[at as usize] as usize);
            if self.semi[self.label[above] as usize] < self.semi[self.label[at] as usize] {
                self.label[at] = self.label[above];
            }
            self.ancestor[at] = self.ancestor[above];
        }
        self.label[node as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the nodes that are reachable without one of them.
    fn reached_without(nodes: usize, edges: &[(u32, u32)], without: u32) -> Vec<u32> {
        let edges = edges.iter().copied().filter(|&(from, to)| from != without && to != without);
        let edges: Vec<_> = edges.collect();
        depth_first(nodes, &Adjacent::new(nodes, edges.iter().copied())).0
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn dominator_is_on_every_path_to_its_node(edges in proptest::collection::vec((0..12_u32, 0..12_u32), 0..40)) {
            let found = dominators(12, &edges);
            for without in 1..12 {
                let reached = reached_without(12, &edges, without);
                for (number, &node) in found.order.iter().enumerate().skip(1) {
                    let mut at = number;
                    while at != 0 && found.order[at] != without {
                        prop_assert!(found.above[at] < at as u32);
                        at = found.above[at] as usize;
                    }
                    prop_assert_eq!(at != 0, !reached.contains(&node), "{} without {}", node, without);
                }
            }
        }
    }
}
