//! Watches memory and disk, and raises the alarms that hold publishers up (AL-001 to AL-007).

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    admin::{AlarmLimits, Limits},
    broker::{Broker, alarm::Alarm},
    clock, machine,
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Compares what is used with what may be.
#[derive(Debug)]
pub(super) struct Monitor {
    broker: Arc<Broker>,
    data_path: PathBuf,
    limits: watch::Receiver<Limits>,
    /// The disk's free space could not be found out, which was said.
    is_blind: bool,
}

impl Monitor {
    pub(super) fn new(broker: Arc<Broker>, limits: &AlarmLimits) -> Self {
        let data_path = limits.data_path().into();
        Self { broker, data_path, limits: limits.subscribe(), is_blind: false }
    }

    /// Looks every second, and at once when a limit was changed, until `stopped` has lost its
    /// sender.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<()>) {
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                changed = self.limits.changed() => if changed.is_err() { return },
                () = clock::sleep_until(clock::now().after(INTERVAL)) => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look_blocking();
                self
            });
            match looked.await {
                Ok(monitor) => self = monitor,
                Err(error) => return tracing::error!(%error, "memory and disk are watched no more"),
            }
        }
    }

    /// Raises and clears the alarms. Reads a few small files of the system.
    pub(super) fn look_blocking(&mut self) {
        let limits = *self.limits.borrow_and_update();
        self.look_at_memory(limits.memory_bytes());
        self.look_at_disk(limits.disk_free.0);
    }

    fn look_at_memory(&self, limit: Option<u64>) {
        // Where the system does not say, there is no alarm but for a limit of 0.
        let is_over = |used: Option<u64>| limit.is_some_and(|limit| used.unwrap_or(1) > limit);
        let mut used = machine::memory_used();
        if is_over(used) {
            machine::give_back_memory();
            used = machine::memory_used();
        }
        let is_over = is_over(used);
        if !self.broker.gate.set(Alarm::Memory, is_over) {
            return;
        }
        if is_over {
            tracing::warn!(used, limit, "memory alarm: publishers wait");
        } else {
            tracing::info!(used, limit, "memory alarm is over");
        }
    }

    fn look_at_disk(&mut self, limit: u64) {
        let path = self.data_path.display();
        let free = match machine::disk_free(&self.data_path) {
            Ok(free) => free,
            Err(error) => {
                if !self.is_blind {
                    tracing::warn!(%path, %error, "cannot find out how much space is left");
                }
                self.is_blind = true;
                return;
            }
        };
        self.is_blind = false;
        let is_short = free < limit;
        if !self.broker.gate.set(Alarm::Disk, is_short) {
            return;
        }
        if is_short {
            tracing::warn!(free, limit, %path, "disk alarm: publishers wait");
        } else {
            tracing::info!(free, limit, %path, "disk alarm is over");
        }
    }
}
