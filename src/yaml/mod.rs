//! YAML with places: the one way in which larder reads it, for `larder.yaml` and for Spack's files.
//!
//! [`parse`] makes a tree of a text, by the rules of a [`Dialect`], in which each value knows its line and column, and bounds what a text can cost. A
//! [`Node`] can be walked, or be the deserializer of derived structs ([`Node::read`]): their errors then are [`Problem`]s
//! with the place, a plain message and, for an unknown key, the nearest known one. What can only be checked once several
//! values are known finds their places in the tree again ([`Node::place_of`]).
//!
//! Every scalar is its spelling, so that `2024.10` stays a name where one belongs. What it means is up to the type that
//! reads it.

mod deserialize;
mod dialect;
mod nearest;
mod place;
mod problem;
mod tree;

pub(crate) use dialect::Dialect;
pub(crate) use nearest::hint;
pub(crate) use place::Place;
pub(crate) use problem::{Problem, Result};
pub(crate) use tree::{Entry, Node, Scalar, Value, parse};
