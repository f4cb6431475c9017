//! What all stages run, behind an entry. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::release::ledger::entry::{Entry, EntryKind};

/// What all stages run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// By name, those that were ever entered.
    pub stages: BTreeMap<String, StageState>,
}

/// What a stage runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageState {
    /// What it runs.
    pub running: Option<Running>,
    /// Its last entry; none is the one whose commit holds this.
    pub last: Option<String>,
    /// Why nothing enters it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Who moves tags for it at the moment, or deploys there, or died over that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entering: Option<Entering>,
}

/// A run that moves tags for a stage, before the stage runs what they name, or that deploys
/// there behind that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entering {
    /// The entry by which it does; none is the one whose commit holds this.
    pub id: Option<String>,
    /// The entry.
    pub entry: Entry,
}

impl Entering {
    /// The run.
    #[must_use]
    pub fn run(&self) -> &str {
        self.entry.run.as_deref().unwrap_or_default()
    }

    /// Whether its tags are set, and it deploys what they name.
    #[must_use]
    pub const fn deploys(&self) -> bool {
        self.entry.deploys
    }

    /// What it does.
    #[must_use]
    pub fn does(&self) -> EntryKind {
        self.entry.does.unwrap_or(self.entry.kind)
    }
}

/// What a stage runs, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Running {
    /// The entry by which it does; none is the one whose commit holds this.
    pub id: Option<String>,
    /// Since when it runs these images.
    pub since: Timestamp,
    /// Which one it is of the entries by which stages run something: a higher one came later,
    /// whatever clocks said. None of format 1.
    #[serde(default)]
    pub number: u64,
    /// The entry.
    pub entry: Entry,
}

/// Why nothing enters a stage by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hold {
    /// Since when.
    pub since: Timestamp,
    /// Who put it there.
    pub by: String,
    /// Why: a sentence without a period.
    pub reason: String,
    /// Whether what was given up never ran there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

impl StageState {
    /// Whether another run than that of an entry still deploys there, or died over that: what
    /// the stage runs was not seen to work.
    fn is_unproved_for(&self, entry: &Entry) -> bool {
        let entering = self.entering.as_ref();
        entering.is_some_and(|entering| entering.deploys() && entering.entry.run != entry.run)
    }

    /// The run that entered it with what was not seen to work before a lasting entry.
    pub(super) fn overtaken_by(&self, entry: &Entry) -> Option<&str> {
        let running = self.running.as_ref().filter(|_| entry.kind.is_lasting())?;
        running.entry.run.as_deref().filter(|_| self.is_unproved_for(entry))
    }

    /// Why what it runs failed when it entered, or could not go back, and stands.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        // A rollback holds the stage since what it runs is put down; what failed, since later.
        let (hold, running) = (self.hold.as_ref()?, self.running.as_ref()?);
        let rolled_back = running.entry.kind == EntryKind::Rollback && hold.since == running.entry.at;
        (!rolled_back && !hold.given_up).then_some(hold.reason.as_str())
    }
}

impl State {
    /// What a stage runs, if it was ever entered.
    #[must_use]
    pub fn running(&self, stage: &str) -> Option<&Running> {
        self.stages.get(stage)?.running.as_ref()
    }

    /// Why it is not known that what a stage runs works there, if that is so: words for what
    /// runs.
    #[must_use]
    pub fn unproved(&self, stage: &str) -> Option<String> {
        let stage = self.stages.get(stage)?;
        if let Some(why) = stage.failure() {
            return Some(format!("which failed there: {why}"));
        }
        let entering = stage.entering.as_ref().filter(|entering| entering.deploys())?;
        Some(format!("which is still deployed there by {}", entering.entry.by))
    }

    /// Who enters a stage at the moment, or died over that.
    #[must_use]
    pub fn entering(&self, stage: &str) -> Option<&Entering> {
        self.stages.get(stage)?.entering.as_ref()
    }

    /// Gives what the commit that holds it is about, its id.
    pub(in crate::release) fn at(mut self, id: &str) -> Self {
        for stage in self.stages.values_mut() {
            // Who never entered a stage has no last entry there.
            if stage.running.is_some() || stage.hold.is_some() {
                stage.last.get_or_insert_with(|| id.to_owned());
            }
            if let Some(entering) = &mut stage.entering {
                entering.id.get_or_insert_with(|| id.to_owned());
            }
            if let Some(running) = &mut stage.running {
                running.id.get_or_insert_with(|| id.to_owned());
            }
        }
        self
    }

    /// What all stages run behind a further entry, which becomes part of its commit.
    pub(in crate::release) fn after(mut self, entry: &Entry) -> Self {
        let number = self.stages.values().filter_map(|stage| Some(stage.running.as_ref()?.number)).max();
        let number = number.unwrap_or_default() + 1;
        let stage = self.stages.entry(entry.stage.clone()).or_default();
        let is_its = |entering: &Entering| entering.entry.run == entry.run;
        // What did not work there meanwhile, or was not seen to, begins again.
        let worked = stage.failure().is_none() && !stage.is_unproved_for(entry);
        match entry.kind {
            EntryKind::Entering => {
                if let Some(running) = stage.running.as_mut().filter(|_| entry.deploys && !worked) {
                    running.since = entry.at;
                }
                stage.entering = Some(Entering { id: None, entry: entry.clone() });
                return self;
            }
            EntryKind::Left => {
                stage.entering.take_if(|entering| is_its(entering));
                return self;
            }
            EntryKind::Aborted => drop(stage.entering.take_if(|entering| is_its(entering))),
            // Whoever enters it saw to it that nobody else does.
            EntryKind::Release | EntryKind::Promote | EntryKind::Rollback => {
                stage.entering = entry.deploys.then(|| Entering { id: None, entry: entry.clone() });
            }
        }
        let digests =
            |entry: &Entry| entry.images.iter().map(|image| (image.name.clone(), image.digest)).collect();
        let before: Option<(Timestamp, Vec<_>)> =
            stage.running.as_ref().map(|running| (running.since, digests(&running.entry)));
        let since = match before {
            Some((since, images)) if worked && images == digests(entry) => since,
            _ => entry.at,
        };
        stage.last = None;
        let runs = stage.running.as_ref().is_some_and(|running| running.entry.is_same(entry));
        if entry.kind != EntryKind::Aborted {
            stage.running = Some(Running { id: None, since, number, entry: entry.clone() });
        }
        stage.hold = match entry.kind {
            EntryKind::Release | EntryKind::Promote => None,
            _ => Some(Hold {
                since: entry.at,
                by: entry.by.clone(),
                reason: entry.reason.clone().unwrap_or_else(|| "it was rolled back".to_owned()),
                given_up: entry.kind == EntryKind::Aborted && !runs,
            }),
        };
        self
    }
}
