//! Watches: what a client knows of each ([`Book`], pure), and the stream they share ([`Tail`]).

mod book;
mod tail;

pub(super) use book::Book;
pub(super) use tail::{Habits, Tail, Turn};
