//! `direct`: the routing key is the binding key, byte for byte (EX-060).

use hashbrown::HashMap;

use super::{BindingRef, ExchangeType, Matches, TargetSet, View};

/// The targets of each binding key.
#[derive(Debug, Default)]
pub(super) struct Direct {
    keys: HashMap<Box<[u8]>, TargetSet>,
}

impl ExchangeType for Direct {
    fn bind(&mut self, binding: BindingRef<'_>) {
        self.keys.entry_ref(binding.key).or_default().add(binding.target);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        if let Some(targets) = self.keys.get_mut(binding.key) {
            targets.remove(binding.target);
            if targets.is_empty() {
                self.keys.remove(binding.key);
            }
        }
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        for key in message.keys {
            if let Some(targets) = self.keys.get(*key) {
                out.targets.extend_from_slice(targets.as_slice());
            }
        }
    }
}
