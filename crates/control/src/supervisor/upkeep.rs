//! What is done at intervals: usage of instances, their memory limits, rotation of their logs.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mana_runtime::lifecycle::{Time, What};
use mana_runtime::{logs, usage};

use super::{Message, Supervisor};
use crate::reconcile::Key;

/// Between two measurements of processor and memory. One reads `/proc` once, some milliseconds.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// The first measurement after a start.
pub(super) const FIRST_SAMPLE: Duration = Duration::from_secs(1);
/// Between two looks at the sizes of logs. At 100 MB/s a log is then some 200 MB over its limit, for a moment.
pub(super) const ROTATION_INTERVAL: Duration = Duration::from_secs(2);
/// Over its memory limit an instance is replaced by a new one beside it, without a lost request. Over this many times
/// the limit it is ended at once: the machine is in danger.
const MEMORY_EMERGENCY: u64 = 2;
/// Unit in which the system counts a file's blocks.
const STAT_BLOCK_BYTES: u64 = 512;

impl Supervisor {
    pub(super) fn upkeep(&mut self, now: Time) {
        if self.next_sample <= now {
            self.next_sample = now.after(SAMPLE_INTERVAL);
            self.look_at_kernel_kills();
            self.sample();
            self.check_memory();
        }
        if self.next_rotation.is_some_and(|due| due <= now) {
            self.rotate_logs(now);
        }
    }

    fn look_at_kernel_kills(&mut self) {
        match usage::kernel_kills() {
            Ok(count) => self.kernel_kills.looked(count, self.clock.now()),
            Err(error) => tracing::debug!(%error, "what the kernel kills for want of memory is not known"),
        }
    }

    /// Whether the kernel has killed a process for want of memory that may be the one that has just ended.
    pub(super) fn kernel_killed_one(&mut self) -> bool {
        self.look_at_kernel_kills();
        self.kernel_kills.claim(self.clock.now())
    }

    fn sample(&mut self) {
        let pids: Vec<(Key, u32)> = self
            .places
            .values()
            .filter_map(|place| Some((place.key, place.instance.as_ref()?.handle.as_ref()?.identity().pid)))
            .collect();
        if pids.is_empty() {
            return;
        }
        let leaders: Vec<u32> = pids.iter().map(|(_, pid)| *pid).collect();
        match self.sampler.sample(&leaders) {
            Ok(usages) => {
                for (key, pid) in pids {
                    if let Some(place) = self.places.get_mut(&key) {
                        place.usage = usages.get(&pid).copied();
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "processor and memory cannot be measured"),
        }
    }

    fn check_memory(&mut self) {
        let over: Vec<(Key, u64, u64)> = self
            .places
            .values()
            .filter(|place| place.replace.is_none() && !place.retiring)
            // One that is on its way out was said to be.
            .filter(|place| place.instance.as_ref().is_some_and(|instance| !instance.over_memory))
            .filter_map(|place| {
                let (limit, used) = (place.facts.memory_bytes?, place.usage?.resident_bytes);
                (used > limit).then_some((place.key, limit, used))
            })
            .collect();
        for (key, limit, used) in over {
            let reason = format!("it took {used} bytes of memory, its limit is {limit}");
            let Some(place) = self.places.get_mut(&key) else { continue };
            let Some(instance) = place.instance.as_mut() else { continue };
            instance.over_memory = true;
            let run = instance.run;
            let (service, id) = (place.service.clone(), place.id().map(str::to_owned));
            tracing::warn!(service, instance = id, limit_bytes = limit, used_bytes = used, "over its memory limit");
            if used >= limit.saturating_mul(MEMORY_EMERGENCY) || !place.life.ready() {
                self.step(key, What::Fail { run, reason: reason.clone() });
            } else {
                place.replace = Some(reason.clone());
            }
            self.note(Some(&service), id.as_deref(), "restarting", &reason);
        }
    }

    /// Rotates the logs that are too large; looking costs one `stat` each, only rotating takes a thread.
    fn rotate_logs(&mut self, now: Time) {
        let limits = logs::Limits::default();
        let paths: BTreeSet<&PathBuf> = self.places.values().map(|place| &place.log_file).collect();
        let large: Vec<PathBuf> =
            paths.into_iter().filter(|path| held_bytes(path) > limits.max_bytes).cloned().collect();
        if large.is_empty() {
            self.next_rotation = Some(now.after(ROTATION_INTERVAL));
            return;
        }
        // Comes back with `Rotated`.
        self.next_rotation = None;
        let mailbox = self.mailbox();
        tokio::spawn(async move {
            let work = tokio::task::spawn_blocking(move || large.iter().for_each(|path| rotate(path, limits)));
            if let Err(error) = work.await {
                tracing::error!(%error, "rotation of logs broke off");
            }
            // The owner is gone only when the process ends.
            let _ = mailbox.send(Message::Rotated).await;
        });
    }
}

/// What a log takes on disk; holes of earlier rotations take nothing. One that is not there yet takes nothing either.
fn held_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.blocks().saturating_mul(STAT_BLOCK_BYTES).min(meta.len()))
}

fn rotate(path: &Path, limits: logs::Limits) {
    match logs::rotate(path, limits) {
        Ok(Some(done)) => tracing::info!(path = %path.display(), bytes = done.bytes, how = ?done.how, "rotated"),
        Ok(None) => {}
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, "a log goes on growing");
        }
    }
}
