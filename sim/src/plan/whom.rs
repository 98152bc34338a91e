//! Which member a fault is for, and how members are cut off from each other.

use serde::{Deserialize, Serialize};

/// A member, by its number or by what it is when the fault comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Whom {
    /// This one, from 0.
    Number(u32),
    /// Whoever has this rank then.
    Rank(Rank),
}

impl From<u32> for Whom {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

/// What a member is in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Leads in the newest term there is. While nobody leads, the member that did last.
    Leader,
    /// The first of the others.
    Follower,
}

/// Who hears whom no more. Clients reach all members.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One member and the others: nothing gets through.
    Isolated,
    /// It hears nobody; the others hear it.
    Deaf,
    /// It hears the others; nobody hears it.
    Mute,
    /// It and as many others as make the largest minority, and the rest.
    Minority,
    /// The others fall into two halves that do not hear each other; it hears and reaches all.
    Bridge,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Isolated, Self::Deaf, Self::Mute, Self::Minority, Self::Bridge];
}

/// Nothing gets from these members to those.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Numbers of those who are not heard.
    pub from: Vec<u32>,
    /// Numbers of those who do not hear.
    pub to: Vec<u32>,
    /// The other way neither?
    pub both_ways: bool,
}

/// What `shape` around member `one` cuts in a cluster of `members`.
#[must_use]
pub fn gap(shape: Shape, one: u32, members: u32) -> Gap {
    let others: Vec<u32> = (1..members).map(|step| (one + step) % members).collect();
    let split = |at: usize, first: &[u32]| {
        let (near, far) = others.split_at(at.min(others.len()));
        Gap { from: [first, near].concat(), to: far.to_vec(), both_ways: true }
    };
    let minority = members.saturating_sub(1) as usize / 2;
    match shape {
        Shape::Isolated => split(0, &[one]),
        Shape::Deaf => Gap { from: others, to: vec![one], both_ways: false },
        Shape::Mute => Gap { from: vec![one], to: others, both_ways: false },
        Shape::Minority => split(minority.saturating_sub(1), &[one]),
        Shape::Bridge => split(others.len() / 2, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: Shape, members: u32) -> (Vec<u32>, Vec<u32>) {
        let Gap { from, to, .. } = gap(shape, 3 % members, members);
        (from, to)
    }

    #[test]
    fn each_shape_cuts_what_its_name_says() {
        assert_eq!(of(Shape::Isolated, 5), (vec![3], vec![4, 0, 1, 2]));
        assert_eq!(of(Shape::Deaf, 5), (vec![4, 0, 1, 2], vec![3]));
        assert_eq!(of(Shape::Mute, 5), (vec![3], vec![4, 0, 1, 2]));
        assert_eq!(of(Shape::Minority, 5), (vec![3, 4], vec![0, 1, 2]));
        assert_eq!(of(Shape::Bridge, 5), (vec![4, 0], vec![1, 2]));
        assert_eq!(of(Shape::Minority, 3), (vec![0], vec![1, 2]));
        assert_eq!(of(Shape::Bridge, 3), (vec![1], vec![2]));
    }
}
