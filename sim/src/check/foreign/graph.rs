//! What comes before what: a graph of transactions, and a cycle in it if there is one.

use std::collections::VecDeque;

/// Why one comes before another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// The other appends after it.
    Writes,
    /// The other reads what it appended.
    Read,
    /// It does not see what the other appends.
    Misses,
    /// It was over before the other began.
    Time,
}

impl Why {
    fn verb(self) -> &'static str {
        match self {
            Self::Writes => "appends before",
            Self::Read => "is read by",
            Self::Misses => "does not see",
            Self::Time => "was over before",
        }
    }
}

/// Nodes by number; some stand for moments and not for transactions.
#[derive(Default, Debug)]
pub(super) struct Graph {
    after: Vec<Vec<(usize, Why)>>,
}

impl Graph {
    /// A new node.
    pub(super) fn node(&mut self) -> usize {
        self.after.push(Vec::new());
        self.after.len() - 1
    }

    /// `first` comes before `then`; nothing, if they are one.
    pub(super) fn edge(&mut self, first: usize, then: usize, why: Why) {
        if first != then {
            self.after[first].push((then, why));
        }
    }

    /// A cycle, as short as one through the same node gets; nothing, if there is an order.
    pub(super) fn cycle(&self) -> Option<Vec<(usize, Why)>> {
        let mut before = vec![0_usize; self.after.len()];
        for (then, _) in self.after.iter().flatten() {
            before[*then] += 1;
        }
        let mut free: Vec<usize> = (0..before.len()).filter(|node| before[*node] == 0).collect();
        while let Some(node) = free.pop() {
            for (then, _) in &self.after[node] {
                before[*then] -= 1;
                if before[*then] == 0 {
                    free.push(*then);
                }
            }
        }
        // What is left is on a cycle or after one.
        (0..before.len()).filter(|node| before[*node] > 0).find_map(|node| self.back_to(node))
    }

    /// The shortest way from a node back to it.
    fn back_to(&self, start: usize) -> Option<Vec<(usize, Why)>> {
        let mut came: Vec<Option<(usize, Why)>> = vec![None; self.after.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for (then, why) in &self.after[node] {
                if came[*then].is_none() {
                    came[*then] = Some((node, *why));
                    queue.push_back(*then);
                }
            }
            if came[start].is_some() {
                break;
            }
        }
        let mut way = Vec::new();
        let mut at = start;
        loop {
            let (from, why) = came[at]?;
            way.push((from, why));
            at = from;
            if at == start {
                way.reverse();
                return Some(way);
            }
        }
    }
}

/// A cycle as a sentence; `line` is where a transaction begins, nothing for a moment.
pub(super) fn story(cycle: &[(usize, Why)], line: impl Fn(usize) -> Option<u64>) -> String {
    // It begins with a transaction, or with the moment before one.
    let named = cycle.iter().position(|(node, _)| line(*node).is_some()).unwrap_or(0);
    let mut text = String::new();
    for (node, why) in cycle[named..].iter().chain(&cycle[..named]) {
        if let Some(line) = line(*node) {
            if !text.is_empty() {
                text.push_str(&format!(" line {line}; "));
            }
            text.push_str(&format!("line {line} {}", why.verb()));
        }
    }
    match cycle.get(named).and_then(|(node, _)| line(*node)) {
        Some(first) => format!("{text} line {first}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_found_if_there_is_one() {
        let mut graph = Graph::default();
        let nodes: Vec<usize> = (0..4).map(|_| graph.node()).collect();
        for pair in nodes.windows(2) {
            graph.edge(pair[0], pair[1], Why::Time);
        }
        graph.edge(nodes[3], nodes[3], Why::Read);
        assert_eq!(graph.cycle(), None);
        graph.edge(nodes[2], nodes[1], Why::Misses);
        let cycle = graph.cycle().expect("there is one");
        assert_eq!(cycle, [(1, Why::Time), (2, Why::Misses)]);
        let told = story(&cycle, |node| (node != 1).then_some(node as u64 * 10));
        assert_eq!(told, "line 20 does not see line 20");
        let told = story(&cycle, |node| Some(node as u64 * 10));
        assert_eq!(told, "line 10 was over before line 20; line 20 does not see line 10");
    }
}
