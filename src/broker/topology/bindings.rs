//! The bindings of a vhost, found by what they are.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::slab::Slab;
use crate::{
    broker::exchange::Target,
    wire::table::{self, Table},
};

/// All bindings, each at a number of its own.
#[derive(Debug)]
pub(super) struct Bindings {
    stored: Slab<Stored>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// One binding. These four are its identity (EX-040).
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Stored {
    /// The exchange that it begins at.
    pub(super) source: u32,
    pub(super) target: Target,
    pub(super) key: Box<[u8]>,
    /// In wire form; nothing at all if there are none.
    pub(super) arguments: Box<[u8]>,
}

impl Stored {
    pub(super) fn new(source: u32, target: Target, key: &[u8], arguments: &Table) -> Self {
        let is_bare = arguments.inner().is_empty();
        let arguments = if is_bare { Box::default() } else { table::encode(arguments).into() };
        Self { source, target, key: key.into(), arguments }
    }

    pub(super) fn arguments(&self) -> Table {
        table::decode(&self.arguments).unwrap_or_default()
    }
}

impl Bindings {
    pub(super) fn new() -> Self {
        Self { stored: Slab::new(), index: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }

    pub(super) fn find(&self, binding: &Stored) -> Option<u32> {
        let hash = self.hasher.hash_one(binding);
        self.index.find(hash, |id| self.stored.get(*id) == Some(binding)).copied()
    }

    /// Adds a binding that is not there and returns its number.
    pub(super) fn insert(&mut self, binding: Stored) -> u32 {
        let hash = self.hasher.hash_one(&binding);
        let id = self.stored.insert(binding);
        let (stored, hasher) = (&self.stored, &self.hasher);
        let rehash = |id: &u32| stored.get(*id).map_or(0, |binding| hasher.hash_one(binding));
        self.index.insert_unique(hash, id, rehash);
        id
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stored> {
        let binding = self.stored.remove(id)?;
        let hash = self.hasher.hash_one(&binding);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        Some(binding)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stored> {
        self.stored.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stored> {
        self.stored.iter().map(|(_, binding)| binding)
    }

    pub(super) fn len(&self) -> usize {
        self.stored.len()
    }
}
