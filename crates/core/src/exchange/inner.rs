//! The operations of an exchange within another one, which has numbers of its own for them.

use super::OpId;

/// The operations that an inner exchange has under way: by the outer exchange's number, and by its own.
#[derive(Debug, Default)]
pub(super) struct Operations(Vec<(OpId, OpId)>);

impl Operations {
    /// One has begun.
    pub(super) fn start(&mut self, outer: OpId, inner: OpId) {
        self.0.push((outer, inner));
    }

    /// The inner exchange wants nothing more of one. What the outer one calls it.
    pub(super) fn cancel(&mut self, inner: OpId) -> Option<OpId> {
        let known = self.0.iter().position(|(_, its)| *its == inner)?;
        Some(self.0.swap_remove(known).0)
    }

    /// What the outer exchange calls one.
    pub(super) fn outer(&self, inner: OpId) -> Option<OpId> {
        self.0.iter().find(|(_, its)| *its == inner).map(|(outer, _)| *outer)
    }

    /// What the inner exchange calls one.
    pub(super) fn inner(&self, outer: OpId) -> Option<OpId> {
        self.0.iter().find(|(ours, _)| *ours == outer).map(|(_, inner)| *inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing more of any is wanted.
    pub(super) fn take(&mut self) -> impl Iterator<Item = OpId> {
        std::mem::take(&mut self.0).into_iter().map(|(outer, _)| outer)
    }
}
