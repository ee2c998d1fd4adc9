//! `fanout`: every binding matches, whatever the keys and headers say (EX-061).

use super::{BindingRef, ExchangeType, Matches, TargetSet, View};

/// All targets.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    targets: TargetSet,
}

impl ExchangeType for Fanout {
    fn bind(&mut self, binding: BindingRef<'_>) {
        self.targets.add(binding.target);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        self.targets.remove(binding.target);
    }

    fn route(&self, _message: &View<'_>, out: &mut Matches) {
        out.targets.extend_from_slice(self.targets.as_slice());
    }
}
