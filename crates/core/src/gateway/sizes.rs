//! How large the gateway's tables are: each has a bound, and this says how near to it they are.

use super::{GUEST_KEYS, Gateway, LISTS_KEPT, locked};

/// A table, or what it takes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// What is counted.
    pub what: &'static str,
    /// How much there is.
    pub now: u64,
    /// How much there may be.
    pub most: u64,
}

impl Gateway {
    /// All tables that grow with what clients ask for.
    pub fn sizes(&self) -> Vec<Size> {
        let mut sizes = Vec::new();
        let mut add = |what: &'static str, (now, most): (usize, usize)| {
            sizes.push(Size { what, now: now as u64, most: most as u64 });
        };
        for guests in [false, true] {
            for (what, now, most) in self.pool(guests).sizes() {
                add(what, (now, most));
            }
            let [objects, homes, changes] = self.objects(guests).sizes();
            add("objects", objects);
            add("clients' homes", homes);
            add("changes of objects", changes);
        }
        add("clients' own keys", (self.pool(true).len(), GUEST_KEYS));
        add("conversations", self.conversations().size());
        add("addresses of strangers", locked(&self.strangers).size());
        add("lists of models", (locked(&self.lists).len(), LISTS_KEPT));
        let [calls, bytes] = self.signatures().sizes();
        add("signed calls", calls);
        add("bytes of signatures", bytes);
        add("schemas", self.repairs().size());
        let [answers, bytes] = self.answers().sizes();
        add("kept answers", answers);
        add("bytes of kept answers", bytes);
        let [uploads, bytes] = self.spool().sizes();
        add("uploads", uploads);
        add("bytes of uploads", bytes);
        add("placed media", self.placed().size());
        let [media, bytes] = self.media().sizes();
        add("fetched media", media);
        add("bytes of fetched media", bytes);
        sizes.push(Size {
            what: "bytes held for requests",
            now: self.memory.held(),
            most: self.memory.limit(),
        });
        sizes
    }
}
