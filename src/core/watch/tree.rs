//! An interval tree: which intervals of keys hold this key?
//!
//! A treap ordered by (from, to) in which every node knows the furthest `to` below it, so that a
//! search leaves out every subtree that ends before the key. Nodes live in one vector and point at
//! each other by number: no unsafe code, no reference counting.
//!
//! ```text
//! intervals [a,f) [b,c) [d,z)          [b,c)·z         ·z = furthest end in the subtree
//!                                     /       \
//!                                [a,f)·f     [d,z)·z
//!
//! visit("e"): at [b,c)·z go left (f > e): [a,f) holds e; [b,c) does not; go right: [d,z) does.
//! visit("y"): left is left out (f <= y); [b,c) does not hold y; right: [d,z) does.
//! ```
//!
//! A treap needs random priorities, and there is no chance here: the priority of the n-th node is
//! a mix of n. Clients choose the intervals and their order but know no way to make that mix sorted
//! in it, short of computing it; then the depth is what they paid for with as many watchers.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;

use reseed_planted::{self as planted, Bug};

use super::WatcherId;

/// No node.
const NIL: u32 = u32::MAX;

/// Where an interval ends; the order of the variants is the order of the ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Before this key.
    Before(Bytes),
    /// Nowhere.
    Open,
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(to) => key < to.as_ref(),
            Self::Open => true,
        }
    }
}

#[derive(Debug)]
struct Node {
    from: Bytes,
    to: End,
    ids: BTreeSet<WatcherId>,
    priority: u64,
    left: u32,
    right: u32,
    /// The node of this subtree with the furthest `to`.
    furthest: u32,
}

/// The intervals and who watches them.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
    made: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), root: NIL, made: 0 }
    }
}

impl Tree {
    /// The watchers of one interval, to add to; the interval is made if it is not there.
    pub(super) fn entry(&mut self, from: &Bytes, to: &End) -> &mut BTreeSet<WatcherId> {
        let found = match self.find(from, to) {
            Some(at) => at,
            None => {
                let new = self.make(from, to);
                self.root = self.insert(self.root, new);
                new
            }
        };
        &mut self.node_mut(found).ids
    }

    /// Takes a watcher off an interval and drops the interval with its last watcher; `false` if it
    /// was not there.
    pub(super) fn remove(&mut self, from: &Bytes, to: &End, id: WatcherId) -> bool {
        let Some(at) = self.find(from, to) else { return false };
        let ids = &mut self.node_mut(at).ids;
        let removed = ids.remove(&id);
        if ids.is_empty() {
            self.root = self.unlink(self.root, at);
            self.free.push(at);
        }
        removed
    }

    /// Calls `visit` for each watcher of each interval that holds `key`, by interval.
    pub(super) fn visit(&self, key: &[u8], visit: &mut impl FnMut(WatcherId)) {
        self.visit_below(self.root, key, visit);
    }

    /// How many intervals there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    fn visit_below(&self, at: u32, key: &[u8], visit: &mut impl FnMut(WatcherId)) {
        if at == NIL {
            return;
        }
        let node = self.node(at);
        if !self.node(node.furthest).to.is_after(key) {
            return;
        }
        self.visit_below(node.left, key, visit);
        if node.from.as_ref() > key {
            return; // Everything to the right starts later still.
        }
        if node.to.is_after(key) {
            node.ids.iter().for_each(|id| visit(*id));
        }
        self.visit_below(node.right, key, visit);
    }

    fn find(&self, from: &Bytes, to: &End) -> Option<u32> {
        let mut at = self.root;
        while at != NIL {
            let node = self.node(at);
            at = match (from, to).cmp(&(&node.from, &node.to)) {
                core::cmp::Ordering::Less => node.left,
                core::cmp::Ordering::Equal => return Some(at),
                core::cmp::Ordering::Greater => node.right,
            };
        }
        None
    }

    fn make(&mut self, from: &Bytes, to: &End) -> u32 {
        self.made += 1;
        let at = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.nodes.len()).expect("fewer than 2^32 intervals fit in memory")
        });
        let node = Node {
            from: from.clone(),
            to: to.clone(),
            ids: BTreeSet::new(),
            priority: mix(self.made),
            left: NIL,
            right: NIL,
            furthest: at,
        };
        match self.nodes.get_mut(at as usize) {
            Some(old) => *old = node,
            None => self.nodes.push(node),
        }
        at
    }

    /// Puts `new` into the subtree `at`; answers the subtree's new top.
    fn insert(&mut self, at: u32, new: u32) -> u32 {
        if at == NIL {
            return new;
        }
        if self.node(new).priority > self.node(at).priority {
            let (left, right) = self.split(at, new);
            return self.link(new, left, right);
        }
        let Node { left, right, .. } = *self.node(at);
        if self.is_before(new, at) {
            let left = self.insert(left, new);
            return self.link(at, left, right);
        }
        let right = self.insert(right, new);
        self.link(at, left, right)
    }

    /// Parts the subtree `at` into what comes before and what comes after node `pivot`.
    fn split(&mut self, at: u32, pivot: u32) -> (u32, u32) {
        if at == NIL {
            return (NIL, NIL);
        }
        let Node { left, right, .. } = *self.node(at);
        if self.is_before(at, pivot) {
            let (before, after) = self.split(right, pivot);
            return (self.link(at, left, before), after);
        }
        let (before, after) = self.split(left, pivot);
        (before, self.link(at, after, right))
    }

    /// Takes node `gone` out of the subtree `at`; answers the subtree's new top.
    fn unlink(&mut self, at: u32, gone: u32) -> u32 {
        assert!(at != NIL, "interval {gone} is not in the tree");
        let Node { left, right, .. } = *self.node(at);
        if at == gone {
            return self.merge(left, right);
        }
        if self.is_before(gone, at) {
            let left = self.unlink(left, gone);
            return self.link(at, left, right);
        }
        let right = self.unlink(right, gone);
        self.link(at, left, right)
    }

    /// Joins two subtrees of which all of `left` comes before all of `right`.
    fn merge(&mut self, left: u32, right: u32) -> u32 {
        if left == NIL {
            return right;
        }
        if right == NIL {
            return left;
        }
        if self.node(left).priority > self.node(right).priority {
            let Node { left: outer, right: inner, .. } = *self.node(left);
            let inner = self.merge(inner, right);
            return self.link(left, outer, inner);
        }
        let Node { left: inner, right: outer, .. } = *self.node(right);
        let inner = self.merge(left, inner);
        self.link(right, inner, outer)
    }

    /// Gives `at` these children and brings its furthest end up to date.
    fn link(&mut self, at: u32, left: u32, right: u32) -> u32 {
        let mut furthest = at;
        for child in [left, right] {
            if child != NIL && !(child == right && planted::on(Bug::IntervalsOutlived)) {
                let candidate = self.node(child).furthest;
                if self.node(candidate).to > self.node(furthest).to {
                    furthest = candidate;
                }
            }
        }
        let node = self.node_mut(at);
        node.left = left;
        node.right = right;
        node.furthest = furthest;
        at
    }

    fn is_before(&self, a: u32, b: u32) -> bool {
        let (a, b) = (self.node(a), self.node(b));
        (&a.from, &a.to) < (&b.from, &b.to)
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }
}

/// splitmix64's finish (Steele, Lea, Flood 2014): neighbours in, unrelated numbers out.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
