//! What a step's calls are compared with, and what was noted of them.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indexmap::IndexSet;

use crate::run::sandbox::deed::{Deed, Doing, Opening, There};
use crate::run::sandbox::policy::{Policy, Verdict};

/// What is decided by, and what is noted.
#[derive(Debug)]
pub(super) struct Notes {
    /// The project's directory, without symbolic links.
    pub(super) root: PathBuf,
    /// Where the step may do everything, although it may lie in the project.
    pub(super) free: PathBuf,
    /// What is allowed; without it everything is, and everything is noted.
    pub(super) policy: Option<Policy>,
    /// What was noted.
    pub(super) noted: Mutex<Noted>,
    /// Where paths lead that calls name.
    #[cfg(target_os = "linux")]
    pub(super) places: Mutex<super::places::Places>,
}

/// What was noted of a step's calls.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// What was denied; without a policy, all that was done, in order.
    pub(super) deeds: IndexSet<Deed>,
    /// What the step made beside its outputs.
    made: HashSet<PathBuf>,
    /// Why nothing could be noted, if so.
    pub(super) blind: BTreeSet<String>,
}

impl Notes {
    /// What was noted so far.
    pub(super) fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an attempt that is over.
    pub(super) fn forget(&self) {
        *self.lock() = Noted::default();
    }

    /// Decides, and notes what is worth it.
    pub(super) fn judge(&self, path: &Path, there: There, doing: Doing) -> Verdict {
        if path.starts_with(&self.free) {
            return Verdict::Pass;
        }
        let Ok(below) = path.strip_prefix(&self.root) else { return self.judge_above(path, there, doing) };
        let deed = Deed { path: below.to_owned(), doing, there };
        let mut noted = self.lock();
        let Some(policy) = &self.policy else {
            noted.deeds.insert(deed);
            return Verdict::Pass;
        };
        let verdict = policy.decide(below, there, doing, &noted.made);
        if verdict == Verdict::Deny {
            noted.deeds.insert(deed);
        } else if matches!(doing, Doing::Write(Opening { create: true, .. }) | Doing::Make) {
            noted.made.insert(deed.path);
        }
        verdict
    }

    /// Decides on a symbolic link that a path leads through: it is read like a file,
    /// unless what is declared lies behind it.
    pub(super) fn judge_link(&self, link: &Path) -> Verdict {
        let Ok(below) = link.strip_prefix(&self.root) else { return Verdict::Pass };
        match &self.policy {
            Some(policy) if policy.leads_through(below) => Verdict::Pass,
            _ => self.judge(link, There::File, Doing::Read),
        }
    }

    /// Directories above the project: what they held when the step began is
    /// allowed one by one, and so is neither their list nor anything new.
    fn judge_above(&self, path: &Path, there: There, doing: Doing) -> Verdict {
        let is_above = |path: &Path| path != self.root && self.root.starts_with(path);
        let new = || there == There::Nothing && path.parent().is_some_and(is_above);
        let denied = match doing {
            Doing::List => is_above(path),
            Doing::Write(opening) => opening.create && new(),
            Doing::Make | Doing::MakeDirectory => new(),
            _ => false,
        };
        if denied && self.policy.is_some() {
            self.lock().deeds.insert(Deed { path: path.to_owned(), doing, there });
            return Verdict::Deny;
        }
        Verdict::Pass
    }
}
