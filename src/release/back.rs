//! What a stage ran before, and what goes back with it. Pure.

use std::collections::BTreeMap;

use crate::oci::Digest;
use crate::release::ledger::{Entry, EntryKind, EntryTag};

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
    /// What the stage had set it to before.
    pub to: Digest,
}

/// The entry by which a stage ran other images before those that it runs now, by all of
/// its entries, the newest first. What was rolled back does not count, nor what failed
/// when it entered, or was not seen to work there.
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
        // Nobody has seen it work: its run died, or was still about it.
        let unproved = |known: &Entry| one.1.overtakes.is_some() && known.run == one.1.overtakes;
        if let Some((_, failed)) = ran.last_mut().filter(|(known, _)| unproved(&known.1)) {
            *failed = true;
        }
        match one.1.kind {
            EntryKind::Release | EntryKind::Promote => ran.push((one, false)),
            EntryKind::Rollback => {
                // What was added to the stage since stays in it.
                let is_it = |known: &(String, Entry)| {
                    let source = one.1.source.as_ref();
                    let is_source = source.is_some_and(|source| {
                        known.0 == *source || known.1.source.as_ref().is_some_and(|its| its == source)
                    });
                    is_source || digests(&known.1) == digests(&one.1)
                };
                let back = ran.iter().rposition(|(known, _)| is_it(known));
                ran.truncate(back.map_or(0, |at| at + 1));
                // It runs with what was added since, and is gone back to with that.
                if ran.last().is_none_or(|(known, _)| digests(&known.1) != digests(&one.1)) {
                    ran.pop();
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

/// The images of an entry, by name.
#[must_use]
pub fn digests(entry: &Entry) -> BTreeMap<&str, Digest> {
    entry.images.iter().map(|image| (image.name.as_str(), image.digest)).collect()
}

/// The moving tags that a stage set since an entry `to`, of all of its entries, the newest
/// first, and what they held by then. A tag that is newer was nowhere then, and stays (`1.3`
/// does not become a 1.2.9); nor does one go back of an image that did not run there then.
#[must_use]
pub fn tags_back(to: &str, history: &[(String, Entry)]) -> Vec<TagBack> {
    let at = history.iter().position(|(id, _)| id == to).unwrap_or(history.len());
    let (since, until) = history.split_at(at);
    let Some((_, target)) = until.first() else { return Vec::new() };
    let mut back: Vec<TagBack> = Vec::new();
    for set in since.iter().flat_map(|(_, entry)| set_by(entry)).filter(|set| !set.tag.immutable) {
        let is_known = |known: &TagBack| known.repository == set.repository && known.tag == set.tag.tag;
        let runs = target.images.iter().any(|image| image.name == set.image);
        if !runs || back.iter().any(is_known) {
            continue;
        }
        let mut before = until.iter().flat_map(|(_, entry)| set_by(entry));
        if let Some(before) = before.find(|before| before.is_same_tag(&set)) {
            back.push(TagBack {
                image: set.image.to_owned(),
                repository: set.repository.to_owned(),
                tag: set.tag.tag.clone(),
                holds: set.digest,
                to: before.digest,
            });
        }
    }
    back
}

/// A tag that an entry set.
struct Set<'a> {
    image: &'a str,
    repository: &'a str,
    tag: &'a EntryTag,
    digest: Digest,
}

impl Set<'_> {
    fn is_same_tag(&self, other: &Set<'_>) -> bool {
        (self.image, self.repository, &self.tag.tag) == (other.image, other.repository, &other.tag.tag)
    }
}

fn set_by(entry: &Entry) -> impl Iterator<Item = Set<'_>> {
    entry.images.iter().flat_map(|image| {
        image.places.iter().flat_map(|place| {
            place.tags.iter().map(|tag| Set {
                image: &image.name,
                repository: &place.repository,
                digest: tag.digest.unwrap_or(image.digest),
                tag,
            })
        })
    })
}
