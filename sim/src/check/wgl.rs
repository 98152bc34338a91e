//! Linearizability by search: Wing and Gong's algorithm with Lowe's memory.
//!
//! For histories without revisions, and as a second opinion. Operations are tried in every order
//! their times allow; a set of operations already in order together with the state they lead to is
//! tried once (Lowe 2017, after Wing and Gong 1993). Exponential in the number of operations that
//! overlap, so: cut the history into parts that do not share state (P-compositionality, Horn and
//! Kroening 2015), search them in turns, a little each, and stop at the first that is impossible;
//! one part may be hopeless where another refutes at once. What exceeds its budget is undecided.
//!
//! An operation whose outcome is unknown never returns: it may come last, which is as good as
//! never. Times that are equal count as overlapping.

use std::collections::BTreeSet;

/// What operations mean.
pub trait Spec {
    /// A state; equal states must compare equal.
    type State: Clone + Ord;
    /// An operation with its outcome.
    type Call;
    /// The first state.
    fn init(&self) -> Self::State;
    /// The state after a call, if the call can have had its outcome in `state`.
    fn step(&self, state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// An operation in time.
#[derive(Clone, Debug)]
pub struct Timed<C> {
    /// When it began.
    pub invoked: u64,
    /// When it ended; `u64::MAX`: nobody knows.
    pub returned: u64,
    /// What it was.
    pub call: C,
}

/// What a search found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Impossible,
    /// The budget was used up before.
    Undecided,
}

/// Steps of a turn, at first; each round of turns is twice as long.
const TURN: u64 = 1 << 12;

/// Searches parts of a history that share no state, with at most `budget` steps in all.
pub fn check<S: Spec>(spec: &S, parts: &[Vec<Timed<S::Call>>], budget: u64) -> Verdict {
    let mut searches: Vec<Search<'_, S>> =
        parts.iter().map(|calls| Search::new(spec, calls)).collect();
    let mut left = budget;
    let mut turn = TURN;
    while !searches.is_empty() {
        let mut pending = Vec::new();
        for mut search in searches {
            let steps = turn.min(left);
            left -= steps;
            match search.run(steps) {
                Verdict::Linearizable => {}
                Verdict::Impossible => return Verdict::Impossible,
                Verdict::Undecided if left == 0 => return Verdict::Undecided,
                Verdict::Undecided => pending.push(search),
            }
        }
        searches = pending;
        turn *= 2;
    }
    Verdict::Linearizable
}

/// An event of the history: a call, or its return.
#[derive(Clone, Copy)]
struct Entry {
    call: usize,
    is_return: bool,
    next: usize,
    prev: usize,
}

/// A search that can be interrupted. `entries[0]` is the head of a ring of events not yet in order.
struct Search<'h, S: Spec> {
    spec: &'h S,
    calls: &'h [Timed<S::Call>],
    entries: Vec<Entry>,
    /// Where the return of a call is; 0: it has none.
    returns: Vec<usize>,
    returns_left: usize,
    at: usize,
    state: S::State,
    chosen: Vec<u64>,
    /// Calls put in order, with the state before each.
    stack: Vec<(usize, S::State)>,
    tried: BTreeSet<(Vec<u64>, S::State)>,
}

impl<'h, S: Spec> Search<'h, S> {
    fn new(spec: &'h S, calls: &'h [Timed<S::Call>]) -> Self {
        let mut times = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            times.push((call.invoked, false, index));
            if call.returned != u64::MAX {
                times.push((call.returned, true, index));
            }
        }
        times.sort_unstable();
        let head = Entry { call: 0, is_return: true, next: 0, prev: 0 };
        let mut entries = vec![head];
        let mut returns = vec![0; calls.len()];
        let mut returns_left = 0;
        for (_, is_return, call) in times {
            let at = entries.len();
            if is_return {
                returns[call] = at;
                returns_left += 1;
            }
            entries.push(Entry { call, is_return, next: 0, prev: at - 1 });
            entries[at - 1].next = at;
        }
        let at = entries[0].next;
        let (state, chosen) = (spec.init(), vec![0; calls.len().div_ceil(64)]);
        let (stack, tried) = (Vec::new(), BTreeSet::new());
        Self { spec, calls, entries, returns, returns_left, at, state, chosen, stack, tried }
    }

    fn run(&mut self, steps: u64) -> Verdict {
        for _ in 0..steps {
            if self.returns_left == 0 {
                return Verdict::Linearizable;
            }
            let entry = self.entries[self.at];
            if !entry.is_return {
                self.at = if self.choose(self.at) { self.entries[0].next } else { entry.next };
                // Behind the last call there is nothing left to try, or nothing left to do.
                if self.at != 0 || self.returns_left == 0 {
                    continue;
                }
            }
            match self.take_back() {
                Some(next) => self.at = next,
                None => return Verdict::Impossible,
            }
        }
        if self.returns_left == 0 { Verdict::Linearizable } else { Verdict::Undecided }
    }

    /// Puts a call next in order, if it can come next and was not tried in this situation.
    fn choose(&mut self, at: usize) -> bool {
        let call = self.entries[at].call;
        let Some(state) = self.spec.step(&self.state, &self.calls[call].call) else { return false };
        self.flip(call);
        if !self.tried.insert((self.chosen.clone(), state.clone())) {
            self.flip(call);
            return false;
        }
        let before = std::mem::replace(&mut self.state, state);
        self.stack.push((at, before));
        self.unlink(at);
        if self.returns[call] != 0 {
            self.unlink(self.returns[call]);
            self.returns_left -= 1;
        }
        true
    }

    /// Takes the last choice back; where to go on.
    fn take_back(&mut self) -> Option<usize> {
        loop {
            let (at, before) = self.stack.pop()?;
            let call = self.entries[at].call;
            self.state = before;
            self.flip(call);
            if self.returns[call] != 0 {
                self.relink(self.returns[call]);
                self.returns_left += 1;
            }
            self.relink(at);
            let next = self.entries[at].next;
            if next != 0 {
                return Some(next);
            }
        }
    }

    fn flip(&mut self, call: usize) {
        self.chosen[call / 64] ^= 1 << (call % 64);
    }

    fn unlink(&mut self, at: usize) {
        let Entry { next, prev, .. } = self.entries[at];
        self.entries[prev].next = next;
        self.entries[next].prev = prev;
    }

    fn relink(&mut self, at: usize) {
        let Entry { next, prev, .. } = self.entries[at];
        self.entries[prev].next = at;
        self.entries[next].prev = at;
    }
}
