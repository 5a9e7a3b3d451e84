//! The one walk along a graph.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash};

/// Visits everything that some roots lead to and that is not yet `seen`, each once, the nearest first. `follow` adds
/// what a node leads to; an error from it ends the walk.
///
/// It does not recurse: a client can make a chain of indexes of any length.
pub(crate) fn walk<Node: Clone + Eq + Hash, Error>(
    seen: &mut HashSet<Node, impl BuildHasher>,
    roots: impl IntoIterator<Item = Node>,
    mut follow: impl FnMut(Node, &mut Vec<Node>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut pending: Vec<Node> = roots.into_iter().collect();
    let mut next = Vec::new();
    while !pending.is_empty() {
        for node in pending.drain(..) {
            if seen.insert(node.clone()) {
                follow(node, &mut next)?;
            }
        }
        std::mem::swap(&mut pending, &mut next);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_visited_once_also_in_circles_and_long_chains() {
        const LENGTH: u32 = 100_000;
        let (mut seen, mut visited) = (HashSet::from([7]), Vec::new());
        let follow = |node: u32, pending: &mut Vec<u32>| {
            visited.push(node);
            pending.extend([node, (node + 1) % LENGTH]);
            Ok::<(), ()>(())
        };
        assert_eq!(walk(&mut seen, [8, 8, 20], follow), Ok(()));
        assert_eq!(visited[..6], [8, 20, 9, 21, 10, 22], "the nearest first");
        visited.sort_unstable();
        // What was seen before is not passed.
        assert!(visited.iter().copied().eq((0..7).chain(8..LENGTH)));
        assert_eq!(seen.len(), LENGTH as usize);
    }

    #[test]
    fn a_walk_ends_with_the_first_error() {
        let mut visited = 0;
        let follow = |_: u32, pending: &mut Vec<u32>| {
            visited += 1;
            pending.extend((visited < 9).then_some(visited));
            if visited == 3 { Err("unreadable") } else { Ok(()) }
        };
        assert_eq!(walk(&mut HashSet::new(), [0], follow), Err("unreadable"));
        assert_eq!(visited, 3);
    }
}
