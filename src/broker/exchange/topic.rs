//! `topic`: a binding key is a pattern of words between dots, in which `*` stands for any one word
//! and `#` for any number of words, none included (EX-062..066).
//!
//! The patterns are a trie of words. A key's words are followed through it side by side on all
//! paths that match so far, so that the cost depends on the words of the key and on the patterns
//! that begin like it, and not on how many others there are. However many `#` a pattern has, no
//! node is entered twice for the same word.
//!
//! All edges of the trie are in one hash table, keyed by node and word: a node is 56 bytes and its word.

use std::{hash::BuildHasher, num::NonZeroU32};

use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

use super::{BindingRef, ExchangeType, Matches, Target, TargetSet, View};

/// The patterns of one exchange.
#[derive(Debug)]
pub(super) struct Topic {
    /// The first node is the root: the pattern of no words.
    nodes: Vec<Node>,
    /// Nodes of `nodes` that stand for no pattern at present.
    vacant: Vec<Child>,
    /// The nodes behind words, found by the node before and the word.
    edges: HashTable<Child>,
    hasher: DefaultHashBuilder,
}

/// A node's number. The root's is 0.
type NodeId = u32;

/// The number of a node other than the root.
type Child = NonZeroU32;

const ROOT: NodeId = 0;

/// Memory for this many nodes stays with an exchange that has had more and has none.
const NODES_KEPT: usize = 64;

/// What is known behind some words of a pattern.
#[derive(Debug, Default)]
struct Node {
    /// The node before.
    parent: NodeId,
    /// How many nodes follow, those behind wildcards included.
    children: u32,
    /// The word that leads here.
    word: Box<[u8]>,
    /// The node behind `*`.
    star: Option<Child>,
    /// The node behind `#`.
    pound: Option<Child>,
    /// The targets of the pattern that ends here.
    targets: TargetSet,
}

/// The memory of a walk through the trie, kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The nodes reached by the words so far, each once, but for those behind `#`.
    reached: Vec<NodeId>,
    /// The nodes reached by one word more.
    next: Vec<NodeId>,
    /// The nodes behind `#` that were reached and have children. Once reached, such a node stays
    /// reached, because it takes every further word.
    pounds: Vec<NodeId>,
    /// The nodes behind `#` that were reached.
    seen: HashSet<NodeId>,
}

impl Default for Topic {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            vacant: Vec::new(),
            edges: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl ExchangeType for Topic {
    fn bind(&mut self, binding: BindingRef<'_>) {
        let end = words(binding.key).fold(ROOT, |node, word| self.child_or_new(node, word));
        self.nodes[end as usize].targets.add(binding.target);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        let end = words(binding.key).try_fold(ROOT, |node, word| self.child(node, word));
        if let Some(end) = end {
            self.nodes[end as usize].targets.remove(binding.target);
            self.prune(end);
        }
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        for key in message.keys {
            self.walk(key, &mut out.walk, &mut out.targets);
        }
    }
}

/// The words of a key or a pattern; an empty one has none (EX-062).
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split(|byte| *byte == b'.').filter(|_| !key.is_empty())
}

impl Topic {
    /// Adds the targets of all patterns that match a key.
    fn walk(&self, key: &[u8], walk: &mut Walk, targets: &mut Vec<Target>) {
        walk.reached.clear();
        walk.pounds.clear();
        walk.seen.clear();
        walk.reached.push(ROOT);
        self.reach_pound(ROOT, walk, targets);
        for word in words(key) {
            walk.next.clear();
            // Nodes that this word reaches are not to take it once more.
            let pounds = walk.pounds.len();
            for at in 0..walk.reached.len() {
                self.step(walk.reached[at], word, walk, targets);
            }
            for at in 0..pounds {
                self.step(walk.pounds[at], word, walk, targets);
            }
            std::mem::swap(&mut walk.reached, &mut walk.next);
            if walk.reached.is_empty() && walk.pounds.is_empty() {
                return;
            }
        }
        for node in &walk.reached {
            targets.extend_from_slice(self.nodes[*node as usize].targets.as_slice());
        }
    }

    /// Takes a word from a node.
    fn step(&self, from: NodeId, word: &[u8], walk: &mut Walk, targets: &mut Vec<Target>) {
        let node = &self.nodes[from as usize];
        for child in [self.edge(from, word), node.star].into_iter().flatten() {
            walk.next.push(child.get());
            self.reach_pound(child.get(), walk, targets);
        }
    }

    /// Reaches the node behind `#` that follows a reached node: `#` may stand for no words.
    fn reach_pound(&self, from: NodeId, walk: &mut Walk, targets: &mut Vec<Target>) {
        let mut following = self.nodes[from as usize].pound;
        while let Some(id) = following {
            if !walk.seen.insert(id.get()) {
                return;
            }
            let node = &self.nodes[id.get() as usize];
            // Whatever words follow, they belong to the `#`.
            targets.extend_from_slice(node.targets.as_slice());
            if node.children > 0 {
                walk.pounds.push(id.get());
            }
            following = node.pound;
        }
    }

    /// The node behind a word of a key.
    fn edge(&self, parent: NodeId, word: &[u8]) -> Option<Child> {
        let hash = self.hasher.hash_one((parent, word));
        self.edges.find(hash, |child| self.is_edge(*child, parent, word)).copied()
    }

    fn is_edge(&self, child: Child, parent: NodeId, word: &[u8]) -> bool {
        let node = &self.nodes[child.get() as usize];
        node.parent == parent && *node.word == *word
    }

    /// The node behind a word of a pattern.
    fn child(&self, parent: NodeId, word: &[u8]) -> Option<NodeId> {
        let child = match word {
            b"*" => self.nodes[parent as usize].star,
            b"#" => self.nodes[parent as usize].pound,
            _ => self.edge(parent, word),
        };
        child.map(NonZeroU32::get)
    }

    fn child_or_new(&mut self, parent: NodeId, word: &[u8]) -> NodeId {
        if let Some(child) = self.child(parent, word) {
            return child;
        }
        let child = self.new_node(Node { parent, word: word.into(), ..Node::default() });
        let before = &mut self.nodes[parent as usize];
        before.children += 1;
        match word {
            b"*" => before.star = Some(child),
            b"#" => before.pound = Some(child),
            _ => self.insert_edge(child, parent, word),
        }
        child.get()
    }

    fn insert_edge(&mut self, child: Child, parent: NodeId, word: &[u8]) {
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.edges.insert_unique(hasher.hash_one((parent, word)), child, |other| {
            let node = &nodes[other.get() as usize];
            hasher.hash_one((node.parent, &*node.word))
        });
    }

    fn new_node(&mut self, node: Node) -> Child {
        if let Some(vacant) = self.vacant.pop() {
            self.nodes[vacant.get() as usize] = node;
            return vacant;
        }
        self.nodes.push(node);
        // The root is always there, so that this is the number of the node just pushed, not 0.
        Child::new((self.nodes.len() - 1) as u32).unwrap_or(Child::MIN)
    }

    /// Removes a node that leads nowhere, and then those before it that led only there.
    fn prune(&mut self, mut id: NodeId) {
        while let Some(child) = Child::new(id) {
            let node = &self.nodes[id as usize];
            if node.children > 0 || !node.targets.is_empty() {
                return;
            }
            let node = std::mem::take(&mut self.nodes[id as usize]);
            let before = &mut self.nodes[node.parent as usize];
            before.children -= 1;
            match &*node.word {
                b"*" => before.star = None,
                b"#" => before.pound = None,
                word => {
                    let hash = self.hasher.hash_one((node.parent, word));
                    if let Ok(edge) = self.edges.find_entry(hash, |other| *other == child) {
                        edge.remove();
                    }
                }
            }
            self.vacant.push(child);
            id = node.parent;
        }
        if self.nodes[ROOT as usize].children == 0 {
            self.release();
        }
    }

    /// Gives memory back when only the root is left.
    fn release(&mut self) {
        self.nodes.truncate(1);
        self.nodes.shrink_to(NODES_KEPT);
        self.vacant.clear();
        self.vacant.shrink_to(NODES_KEPT);
        self.edges.shrink_to(NODES_KEPT, |_| 0);
    }
}
