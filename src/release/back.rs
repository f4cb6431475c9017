//! What a stage ran before, and what goes back with it. Pure.

use std::collections::BTreeMap;

use crate::oci::Digest;
use crate::release::ledger::{Entry, EntryKind};

/// A tag that a rollback moves: from what it holds to what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagBack {
    /// The image.
    pub image: String,
    /// Where, as a user would name it.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What it was set to last, by the stage.
    pub holds: Digest,
}

/// The entry by which a stage ran other images before those that it runs now, by all of
/// its entries, the newest first. What was rolled back does not count, nor what failed
/// when it entered.
#[must_use]
pub fn previous(history: &[(String, Entry)]) -> Option<&(String, Entry)> {
    let mut ran = ran(history);
    let (now, _) = ran.pop()?;
    let other = ran.into_iter().rfind(|(one, failed)| !failed && digests(&one.1) != digests(&now.1));
    other.map(|(one, _)| one)
}

/// What led to what a stage runs now, by all of its entries, the newest first: the oldest
/// first, without what was rolled back, each with whether it failed when it entered.
pub(super) fn ran(history: &[(String, Entry)]) -> Vec<(&(String, Entry), bool)> {
    let mut ran: Vec<(&(String, Entry), bool)> = Vec::new();
    let mut entered = false;
    for one in history.iter().rev() {
        match one.1.kind {
            EntryKind::Release | EntryKind::Promote => ran.push((one, false)),
            EntryKind::Rollback => {
                // What was added to the stage since stays in it.
                let is_it = |known: &(String, Entry)| {
                    one.1.source.as_ref() == Some(&known.0) || digests(&known.1) == digests(&one.1)
                };
                let back = ran.iter().rposition(|(known, _)| is_it(known));
                ran.truncate(back.map_or(0, |at| at + 1));
                if ran.is_empty() {
                    ran.push((one, false));
                }
            }
            // What the stage runs stays.
            EntryKind::Entering | EntryKind::Left => continue,
            // Where going back failed, it worked before; what was given up half way never ran.
            EntryKind::Aborted => {
                let its = ran.last_mut().filter(|(known, _)| entered && known.1.is_same(&one.1));
                if let Some((_, failed)) = its {
                    *failed = true;
                }
            }
        }
        entered = matches!(one.1.kind, EntryKind::Release | EntryKind::Promote);
    }
    ran
}

/// The newest entry by which a stage ran a version; a `v` before it does not matter.
#[must_use]
pub fn of_version<'a>(history: &'a [(String, Entry)], version: &str) -> Option<&'a (String, Entry)> {
    let bare = |text: &'a str| text.strip_prefix('v').unwrap_or(text);
    let wanted = version.strip_prefix('v').unwrap_or(version);
    let ran = |kind: EntryKind| matches!(kind, EntryKind::Release | EntryKind::Promote);
    history.iter().find(|(_, entry)| ran(entry.kind) && bare(&entry.version) == wanted)
}

pub(super) fn digests(entry: &Entry) -> BTreeMap<&str, Digest> {
    entry.images.iter().map(|image| (image.name.as_str(), image.digest)).collect()
}

/// The moving tags that a stage set to what it runs, and that it had set before, too, when
/// it ran what it goes back to, of the entry `to`: a tag that is newer was nowhere then, and
/// stays (`1.3` does not become a 1.2.9).
#[must_use]
pub fn tags_back(now: &Entry, to: &str, history: &[(String, Entry)]) -> Vec<TagBack> {
    let had = |image: &str, repository: &str, tag: &str| {
        let earlier = history.iter().skip_while(|(id, _)| id != to).map(|(_, entry)| entry);
        let mut places = earlier
            .flat_map(|entry| &entry.images)
            .filter(|known| known.name == image)
            .flat_map(|known| &known.places)
            .filter(|place| place.repository == repository);
        places.any(|place| place.tags.iter().any(|known| known.tag == tag))
    };
    let mut back = Vec::new();
    for image in &now.images {
        for place in &image.places {
            for tag in place.tags.iter().filter(|tag| !tag.immutable) {
                if had(&image.name, &place.repository, &tag.tag) {
                    back.push(TagBack {
                        image: image.name.clone(),
                        repository: place.repository.clone(),
                        tag: tag.tag.clone(),
                        holds: image.digest,
                    });
                }
            }
        }
    }
    back
}
