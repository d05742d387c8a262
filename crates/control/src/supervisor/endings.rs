//! Why instances end, in few words, and how often those of each place did. It is counted while a control plane is there to see it: with
//! the next one it begins at 0, as counters may. Migrations end by themselves, and are not counted.
//!
//! To add a reason: a variant, its word in [`Reason::as_str`], its place in [`Reason::ALL`], and its line in `docs/WATCH.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use mana_runtime::driver::Exit;
use mana_runtime::lifecycle::Time;

use crate::slot::Slot;

/// A process that was killed so soon after the kernel has killed one for want of memory is taken for that one: two looks at what the kernel
/// counts.
const KERNEL_LATELY: Duration = Duration::from_secs(10);
/// The signal by which the kernel ends what takes its last memory.
const SIGKILL: i32 = 9;

/// Why an instance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// By itself, with exit code 0.
    Completed,
    /// By itself, with another exit code.
    Failed,
    /// By a signal that is none of ours.
    Signal,
    /// It took more memory than it may, or the kernel had none left.
    Memory,
    /// It was not ready, or did not answer, for too long.
    Probe,
    /// It was to end: stopped, or replaced by another version.
    Asked,
    /// An earlier control plane was its parent, so that nobody knows.
    Unknown,
}

impl Reason {
    const ALL: [Self; 7] =
        [Self::Completed, Self::Failed, Self::Signal, Self::Memory, Self::Probe, Self::Asked, Self::Unknown];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Signal => "signal",
            Self::Memory => "memory",
            Self::Probe => "probe",
            Self::Asked => "asked",
            Self::Unknown => "unknown",
        }
    }

    /// Of an end, and of what was wanted of the instance before.
    pub(super) fn of(exit: &Exit, before: Before) -> Self {
        match (exit, before) {
            (_, Before { over_memory: true, .. }) => Self::Memory,
            (_, Before { asked: true, .. }) => Self::Asked,
            (_, Before { unfit: true, .. }) => Self::Probe,
            (Exit::Signal(SIGKILL), Before { kernel_killed: true, .. }) => Self::Memory,
            (Exit::Code(0), _) => Self::Completed,
            (Exit::Code(_), _) => Self::Failed,
            (Exit::Signal(_), _) => Self::Signal,
            (Exit::Unobserved, _) => Self::Unknown,
        }
    }

    /// Whether the kernel may have been it, for all that is known without asking it.
    pub(super) fn may_be_kernels(exit: &Exit, before: Before) -> bool {
        Self::of(exit, before) == Self::Signal && *exit == Exit::Signal(SIGKILL)
    }
}

/// What was wanted of an instance when it ended.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each named where it is used")]
pub(super) struct Before {
    /// It was to be replaced, or ended, since it took too much memory.
    pub(super) over_memory: bool,
    /// It was to stop for good.
    pub(super) asked: bool,
    /// It was being ended since it did not do its work.
    pub(super) unfit: bool,
    /// The kernel has just killed something for want of memory.
    pub(super) kernel_killed: bool,
}

/// How often the kernel has killed something for want of memory, and which of these times no instance was found for.
#[derive(Debug, Default)]
pub(super) struct KernelKills {
    seen: Option<u64>,
    unclaimed: u64,
    rose: Time,
}

impl KernelKills {
    /// It was looked; `None`: this kernel does not tell.
    pub(super) fn looked(&mut self, count: Option<u64>, at: Time) {
        let Some(count) = count else { return };
        let more = self.seen.map_or(0, |seen| count.saturating_sub(seen));
        self.seen = Some(count);
        if more > 0 {
            (self.unclaimed, self.rose) = (more, at);
        }
    }

    /// Whether a process that has just been killed was one of them.
    pub(super) fn claim(&mut self, at: Time) -> bool {
        let is_one = self.unclaimed > 0 && at.since(self.rose) <= KERNEL_LATELY;
        self.unclaimed = if is_one { self.unclaimed - 1 } else { 0 };
        is_one
    }
}

/// How often the instances of each place ended, by reason. As many places as there are instances in the manifest, twice.
#[derive(Debug, Default)]
pub(super) struct Endings {
    counts: BTreeMap<(String, Slot, u16), BTreeMap<Reason, u32>>,
}

impl Endings {
    /// There is such a place: it counts from 0 on.
    pub(super) fn begin(&mut self, service: &str, slot: Slot, ordinal: u16) {
        self.counts.entry((service.to_owned(), slot, ordinal)).or_default();
    }

    pub(super) fn count(&mut self, service: &str, slot: Slot, ordinal: u16, reason: Reason) {
        *self.counts.entry((service.to_owned(), slot, ordinal)).or_default().entry(reason).or_default() += 1;
    }

    /// Forgets services that there are no more.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.counts.retain(|(service, ..), _| is_there(service));
    }

    /// For each place: its service, what it is called, and every reason with how often it was.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, String, Vec<(&'static str, u32)>)> {
        self.counts.iter().map(|((service, slot, ordinal), counts)| {
            let of = |reason: Reason| (reason.as_str(), counts.get(&reason).copied().unwrap_or_default());
            (service.as_str(), format!("{slot}-{ordinal}"), Reason::ALL.map(of).to_vec())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_wanted_before_says_more_than_how_it_ended() {
        let none = Before::default();
        let (over, asked) = (Before { over_memory: true, ..none }, Before { asked: true, ..none });
        let (unfit, kernel) = (Before { unfit: true, ..none }, Before { kernel_killed: true, ..none });
        for (exit, before, reason) in [
            (Exit::Code(0), none, Reason::Completed),
            (Exit::Code(1), none, Reason::Failed),
            (Exit::Signal(11), none, Reason::Signal),
            (Exit::Signal(9), none, Reason::Signal),
            (Exit::Signal(9), kernel, Reason::Memory),
            (Exit::Signal(11), kernel, Reason::Signal),
            (Exit::Signal(9), unfit, Reason::Probe),
            (Exit::Code(0), asked, Reason::Asked),
            (Exit::Signal(15), Before { asked: true, ..over }, Reason::Memory),
            (Exit::Unobserved, none, Reason::Unknown),
            (Exit::Unobserved, over, Reason::Memory),
        ] {
            assert_eq!(Reason::of(&exit, before), reason, "{exit} {before:?}");
        }
        assert!(Reason::may_be_kernels(&Exit::Signal(9), none));
        assert!(!Reason::may_be_kernels(&Exit::Signal(9), asked) && !Reason::may_be_kernels(&Exit::Signal(15), none));
    }

    #[test]
    fn each_kill_of_the_kernel_is_one_instance_and_only_for_a_moment() {
        let mut kills = KernelKills::default();
        kills.looked(Some(7), at(1));
        assert!(!kills.claim(at(2)), "those were before");
        kills.looked(Some(8), at(3));
        assert!(kills.claim(at(4)) && !kills.claim(at(4)), "there was one");
        kills.looked(Some(10), at(5));
        kills.looked(None, at(6));
        assert!(kills.claim(at(15)) && !kills.claim(at(16)), "the other one was none of ours");
    }

    #[test]
    fn a_place_counts_every_reason_from_0_on_and_keeps_its_counts_over_its_instances() {
        let mut endings = Endings::default();
        endings.begin("chat", Slot::Blue, 1);
        endings.begin("gone", Slot::Green, 2);
        endings.count("chat", Slot::Blue, 1, Reason::Memory);
        endings.begin("chat", Slot::Blue, 1);
        endings.count("chat", Slot::Blue, 1, Reason::Memory);
        endings.keep(|service| service == "chat");
        let all: Vec<_> = endings.all().collect();
        assert_eq!(all.len(), 1);
        let (service, instance, reasons) = &all[0];
        assert_eq!((*service, instance.as_str(), reasons.len()), ("chat", "blue-1", Reason::ALL.len()));
        assert!(reasons.contains(&("memory", 2)) && reasons.contains(&("failed", 0)), "{reasons:?}");
    }
}
