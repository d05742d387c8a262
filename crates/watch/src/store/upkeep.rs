//! What has to be done from time to time: windows become blocks, blocks become coarser ones, and what is too old or too much goes.

use std::collections::HashSet;
use std::sync::Arc;

use super::Store;
use super::block::Block;
use super::build::{Build, Progress};
use super::error::StoreError;
use super::limits::{CLOCK_JUMP_MS, MAX_SET_ASIDE, RETRY_MS, SETTLE_MS, WORK_SAMPLES};
use super::open::put_aside;
use super::plan::{self, Job, Open, Sized};
use super::stats::SetAside;

/// Where upkeep is.
pub(super) struct Upkeep {
    build: Option<Build>,
    /// When it was called last.
    now_ms: i64,
    /// Since when the clock has gone on without a jump.
    steady_since_ms: i64,
    /// Nothing is made before, because the disk refused.
    retry_at_ms: Option<i64>,
}

impl Upkeep {
    pub(super) fn new(now_ms: i64) -> Self {
        Self { build: None, now_ms, steady_since_ms: now_ms, retry_at_ms: None }
    }

    /// Whether the clock can be trusted so far that what is too old by it may go.
    fn settled(&mut self, now_ms: i64) -> bool {
        if now_ms < self.now_ms || now_ms.saturating_sub(self.now_ms) > CLOCK_JUMP_MS {
            self.steady_since_ms = now_ms;
        }
        self.now_ms = now_ms;
        now_ms.saturating_sub(self.steady_since_ms) >= SETTLE_MS
    }

    fn waits(&self, now_ms: i64) -> bool {
        // Further away than any wait: the clock was set back.
        self.retry_at_ms.is_some_and(|at| now_ms < at && at.saturating_sub(now_ms) <= RETRY_MS)
    }
}

impl Store {
    /// Does a bounded piece of upkeep. To be called every few seconds, and again at once while it gives `true`: there is more to do.
    ///
    /// # Errors
    /// The disk refused. What could not be done is tried again in a later call; nothing is lost by that, until [`super::MAX_WINDOWS`] wait.
    pub fn maintain(&mut self, now_ms: i64) -> Result<bool, StoreError> {
        let settled = self.upkeep.settled(now_ms);
        let done = self.upkeep(now_ms, settled);
        match &done {
            // A damaged block is set aside by the next call.
            Err(StoreError::Damaged { .. }) if self.has_damaged() => return Ok(true),
            Err(error) => {
                self.trouble[1] = Some(error.to_string());
                self.upkeep.retry_at_ms = Some(now_ms.saturating_add(RETRY_MS));
            }
            Ok(_) if self.upkeep.waits(now_ms) => {}
            Ok(_) => self.trouble[1] = None,
        }
        done
    }

    fn upkeep(&mut self, now_ms: i64, settled: bool) -> Result<bool, StoreError> {
        self.journal.sync()?;
        self.set_damaged_aside()?;
        self.release()?;
        self.drop_blocks(now_ms, settled)?;
        if self.upkeep.waits(now_ms) {
            return Ok(false);
        }
        self.upkeep.retry_at_ms = None;
        let Some(mut build) = self.upkeep.build.take().map_or_else(|| self.begin(now_ms), |build| Ok(Some(build)))?
        else {
            return Ok(false);
        };
        let progress = build.step(&self.shared.read().head, WORK_SAMPLES);
        match progress {
            Ok(Progress::More) => self.upkeep.build = Some(build),
            Ok(Progress::Done) => self.finish(build)?,
            Ok(Progress::Gone) => build.abandon(),
            Err(error) => {
                build.abandon();
                return Err(error);
            }
        }
        Ok(true)
    }

    fn begin(&mut self, now_ms: i64) -> Result<Option<Build>, StoreError> {
        let mut state = self.shared.write();
        let metas: Vec<&_> = state.blocks.iter().map(|block| &block.meta).collect();
        let open =
            |window: &super::window::Window| Open { serial: window.serial, from: window.from, closed: window.closed };
        let windows: Vec<Open> = state.head.windows.iter().map(open).collect();
        let Some(job) = plan::next_job(&metas, &windows, now_ms) else { return Ok(None) };
        let sources = match &job {
            Job::Cut { window } => return Build::cut(&self.disk, &mut state.head, *window),
            Job::Thin { source } => vec![*source],
            Job::Merge { sources } => sources.clone(),
        };
        let serial = state.head.next_serial;
        state.head.next_serial += 1;
        let inputs: Vec<Arc<Block>> =
            state.blocks.iter().filter(|block| sources.contains(&block.meta.serial)).map(Arc::clone).collect();
        drop(state);
        Build::join(&self.disk, job, &inputs, serial)
    }

    fn finish(&mut self, build: Build) -> Result<(), StoreError> {
        let cut = if let Job::Cut { window } = build.job { Some(window) } else { None };
        let block = build.finish()?;
        {
            let mut state = self.shared.write();
            let mut blocks = Vec::clone(&state.blocks);
            blocks.push(block);
            state.blocks = Arc::new(blocks);
            if let Some(serial) = cut {
                state.head.remove(serial);
            }
        }
        self.release()
    }

    fn release(&mut self) -> Result<(), StoreError> {
        let live = self.shared.read().head.serials();
        self.journal.release(|serial| live.contains(&serial))
    }

    fn drop_blocks(&mut self, now_ms: i64, settled: bool) -> Result<(), StoreError> {
        let blocks = Arc::clone(&self.shared.read().blocks);
        let sized: Vec<Sized<'_>> =
            blocks.iter().map(|block| Sized { meta: &block.meta, bytes: block.bytes }).collect();
        let gone = plan::to_drop(&sized, self.journal.bytes(), &self.shared.limits, now_ms, settled);
        for block in blocks.iter().filter(|block| gone.contains(&block.meta.serial)) {
            self.disk.remove(&block.name)?;
            self.forget(&HashSet::from([block.meta.serial]));
            self.counts.dropped_blocks += 1;
        }
        Ok(())
    }

    fn set_damaged_aside(&mut self) -> Result<(), StoreError> {
        let blocks = Arc::clone(&self.shared.read().blocks);
        for block in blocks.iter().filter(|block| block.is_damaged()) {
            // What is made of it would be made of less than it says.
            if let Some(build) = self.upkeep.build.take() {
                build.abandon();
            }
            let why = block.broken(
                "a part of it that was read",
                super::bits::Broken("a checksum is wrong, or what it is of makes no sense"),
            );
            let aside: SetAside = put_aside(&self.disk, &block.name, &why)?;
            self.forget(&HashSet::from([block.meta.serial]));
            self.set_aside.push(aside);
            let too_many = self.set_aside.len().saturating_sub(MAX_SET_ASIDE);
            self.set_aside.drain(..too_many);
        }
        Ok(())
    }

    fn has_damaged(&self) -> bool {
        self.shared.read().blocks.iter().any(|block| block.is_damaged())
    }

    fn forget(&self, serials: &HashSet<u64>) {
        let mut state = self.shared.write();
        let left = state.blocks.iter().filter(|block| !serials.contains(&block.meta.serial));
        state.blocks = Arc::new(left.map(Arc::clone).collect());
    }
}
