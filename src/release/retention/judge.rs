//! What goes, what stays, and why. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::oci::Digest;
use crate::release::retention::kind::Kind;
use crate::release::retention::rule::{Ruling, is_younger, span};
use crate::release::retention::{Holding, Needed, Rules};

/// The beginning of 2013, before which there were no images: earlier times stand for none,
/// as tools set them that make the same bytes each time.
const FIRST: Timestamp = Timestamp::constant(1_356_998_400, 0);

/// What is to become of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Images that go, by their digests, with all of their tags.
    pub removals: Vec<Removal>,
    /// Tags that go from images that stay.
    pub loose: Vec<Loose>,
    /// Tags that stay, by their names.
    pub stays: Vec<Stays>,
}

/// An image that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its manifest or index.
    pub digest: Digest,
    /// All its tags.
    pub tags: Vec<Gone>,
    /// When it was made, or was last part of an entry of the ledger.
    pub time: Option<Timestamp>,
    /// Bytes of its layers and configurations, where they are known.
    pub size: Option<u64>,
    /// What goes with it: images of its platforms, signatures, attestations.
    pub parts: Vec<Part>,
}

/// A tag that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The tag.
    pub tag: String,
    /// Why: a phrase.
    pub why: String,
}

/// A manifest that goes with an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The manifest.
    pub digest: Digest,
    /// All its tags.
    pub tags: Vec<String>,
}

/// A tag that goes from an image that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loose {
    /// The tag, and why it goes.
    pub gone: Gone,
    /// What it holds.
    pub digest: Digest,
    /// Why the image stays: a phrase.
    pub stays: String,
}

/// A tag that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stays {
    /// The tag.
    pub tag: String,
    /// What it holds.
    pub digest: Digest,
    /// Why: a phrase.
    pub why: String,
}

impl Verdict {
    /// Whether nothing goes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.removals.is_empty() && self.loose.is_empty()
    }

    /// All manifests that go.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        let parts = |removal: &Removal| removal.parts.iter().map(|part| part.digest).collect::<Vec<_>>();
        self.removals.iter().flat_map(move |removal| std::iter::once(removal.digest).chain(parts(removal)))
    }
}

/// Judges all tags of a repository. Nothing goes that a tag which stays leads to, that a
/// stage needs, or that says something about either.
#[must_use]
pub(super) fn judge(holding: &Holding, needed: &Needed, rules: &Rules, now: Timestamp) -> Verdict {
    let said = by_rules(holding, needed, rules, now);
    let graph = Graph::new(holding);
    // Lists of what is not there are about nothing.
    let orphan = |(tag, digest): (&String, &Digest)| match Kind::of(tag, digest) {
        Kind::List(subject) if holding.absent.contains(&subject) => Some(*digest),
        _ => None,
    };
    let kept: BTreeSet<Digest> =
        holding.tags.iter().filter(|(tag, _)| said.stays.contains_key(*tag)).map(|(_, held)| *held).collect();
    let going = holding.tags.iter().filter(|(tag, _)| said.goes.contains_key(*tag)).map(|(_, held)| *held);
    let orphans = holding.tags.iter().filter_map(orphan);
    let heads: BTreeSet<Digest> = going.chain(orphans).filter(|digest| !kept.contains(digest)).collect();
    let reached = graph.closure(heads.iter().map(|head| (*head, Live::Root)));
    let live = graph.closure(roots(holding, needed, &kept, &reached));
    let removed = |digest: &Digest| reached.contains_key(digest) && !live.contains_key(digest);
    let mut verdict = Verdict::default();
    for (tag, digest) in &holding.tags {
        let stays = |why: String| Stays { tag: tag.clone(), digest: *digest, why };
        let why = match (said.stays.get(tag), said.goes.get(tag), Kind::of(tag, digest)) {
            (Some(why), ..) => {
                verdict.stays.push(stays(why.clone()));
                continue;
            }
            (_, Some(why), _) => why.clone(),
            (_, _, Kind::List(subject)) if holding.absent.contains(&subject) => {
                "what it is about is gone".to_owned()
            }
            (_, _, Kind::List(subject)) if removed(&subject) => "what it is about goes".to_owned(),
            _ => {
                verdict.stays.push(stays("what it is about stays".to_owned()));
                continue;
            }
        };
        if removed(digest) {
            continue;
        }
        match live.get(digest) {
            Some(Live::About(_)) => verdict.stays.push(stays("what it refers to stays".to_owned())),
            found => {
                let gone = Gone { tag: tag.clone(), why };
                let stays = found.map_or_else(String::new, |live| live.words(holding, *digest, &kept));
                verdict.loose.push(Loose { gone, digest: *digest, stays });
            }
        }
    }
    verdict.removals =
        removals(holding, needed, &said, &graph, heads.iter().filter(|head| removed(head)), &removed);
    verdict
}

/// What the rules say of each tag but lists.
#[derive(Default)]
struct Ruled {
    /// Why it stays.
    stays: BTreeMap<String, String>,
    /// Why it goes, as far as it is up to the rules.
    goes: BTreeMap<String, String>,
}

fn by_rules(holding: &Holding, needed: &Needed, rules: &Rules, now: Timestamp) -> Ruled {
    let mut said = Ruled::default();
    let mut matching: BTreeMap<usize, Vec<(&String, &Digest)>> = BTreeMap::new();
    for (tag, digest) in &holding.tags {
        match rules.of(tag, digest) {
            Ruling::By(at) => matching.entry(at).or_default().push((tag, digest)),
            Ruling::Stays(_) if matches!(Kind::of(tag, digest), Kind::List(_)) => {}
            Ruling::Stays(why) => {
                let why = needed.reason(digest).unwrap_or(why);
                said.stays.insert(tag.clone(), why.to_owned());
            }
        }
    }
    for (at, tags) in matching {
        let Some(bounds) = rules.bounds(at) else { continue };
        let images: BTreeSet<Digest> = tags.iter().map(|(_, digest)| **digest).collect();
        let times: BTreeMap<Digest, Timestamp> =
            images.into_iter().filter_map(|image| Some((image, time(holding, needed, &image)?))).collect();
        for (tag, digest) in tags {
            let stays = needed.reason(digest).map(str::to_owned).or_else(|| {
                let Some(made) = times.get(digest) else { return Some("its age is not known".to_owned()) };
                let newer = times.values().filter(|other| *other > made).count();
                let last = bounds.last.filter(|last| newer < *last as usize);
                if let Some(last) = last {
                    return Some(format!("it is among the last {last}"));
                }
                let younger = bounds.younger.filter(|limit| is_younger(*made, *limit, now));
                younger.map(|younger| format!("it is younger than {}", span(younger)))
            });
            match stays {
                Some(why) => said.stays.insert(tag.clone(), why),
                None => said.goes.insert(tag.clone(), rules.why(at)),
            };
        }
    }
    said
}

/// When an image was made, or was part of an entry of the ledger, whichever is later.
fn time(holding: &Holding, needed: &Needed, image: &Digest) -> Option<Timestamp> {
    let made = holding.manifests.get(image).and_then(|held| held.created);
    let made = made.filter(|made| *made >= FIRST);
    made.max(needed.entered(image))
}

/// Why a manifest stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Live {
    /// For itself.
    Root,
    /// This index names it.
    Child(Digest),
    /// It says something about this.
    About(Digest),
}

impl Live {
    fn words(self, holding: &Holding, digest: Digest, kept: &BTreeSet<Digest>) -> String {
        let tag = |of: Digest| holding.tags_of(of).next().map(|tag| format!("`{tag}`"));
        match self {
            Self::Child(index) => {
                let index = tag(index).unwrap_or_else(|| index.to_string());
                format!("it is part of {index}")
            }
            Self::Root | Self::About(_) if kept.contains(&digest) => "another tag names it, too".to_owned(),
            Self::Root | Self::About(_) => "it is needed".to_owned(),
        }
    }
}

/// What stays for itself: what tags that stay hold, what stages need, and lists about what
/// is there and does not go.
fn roots(
    holding: &Holding,
    needed: &Needed,
    kept: &BTreeSet<Digest>,
    reached: &BTreeMap<Digest, Live>,
) -> Vec<(Digest, Live)> {
    let lists = holding.tags.iter().filter_map(|(tag, digest)| match Kind::of(tag, digest) {
        Kind::List(subject) if !holding.absent.contains(&subject) && !reached.contains_key(&subject) => {
            Some(*digest)
        }
        _ => None,
    });
    let all = kept.iter().copied().chain(needed.images()).chain(lists);
    all.map(|digest| (digest, Live::Root)).collect()
}

/// What leads to what: from an index to its manifests, and from anything to what is said
/// about it.
struct Graph<'a> {
    holding: &'a Holding,
    about: BTreeMap<Digest, Vec<Digest>>,
}

impl<'a> Graph<'a> {
    fn new(holding: &'a Holding) -> Self {
        let mut about: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (tag, digest) in &holding.tags {
            if let Kind::List(subject) = Kind::of(tag, digest) {
                about.entry(subject).or_default().push(*digest);
            }
        }
        for (digest, held) in &holding.manifests {
            if let Some(subject) = held.subject {
                about.entry(subject).or_default().push(*digest);
            }
        }
        for (subject, referrers) in &holding.referrers {
            about.entry(*subject).or_default().extend(referrers);
        }
        Self { holding, about }
    }

    /// All that is led to, and by what first.
    fn closure(&self, from: impl IntoIterator<Item = (Digest, Live)>) -> BTreeMap<Digest, Live> {
        let mut seen: BTreeMap<Digest, Live> = BTreeMap::new();
        let mut open: Vec<Digest> = Vec::new();
        for (digest, live) in from {
            if seen.insert(digest, live).is_none() {
                open.push(digest);
            }
        }
        while let Some(digest) = open.pop() {
            let children = self.holding.manifests.get(&digest).into_iter().flat_map(|held| &held.children);
            let children = children.map(|child| (*child, Live::Child(digest)));
            let about = self.about.get(&digest).into_iter().flatten();
            let about = about.map(|referrer| (*referrer, Live::About(digest)));
            for (next, live) in children.chain(about) {
                if let Entry::Vacant(free) = seen.entry(next) {
                    free.insert(live);
                    open.push(next);
                }
            }
        }
        seen
    }
}

/// Manifests, and all that they lead to.
pub(super) fn led_to(holding: &Holding, from: impl IntoIterator<Item = Digest>) -> BTreeSet<Digest> {
    let from = from.into_iter().map(|digest| (digest, Live::Root));
    Graph::new(holding).closure(from).into_keys().collect()
}

/// The images that go, each with what goes with it and with no other before.
fn removals<'a>(
    holding: &Holding,
    needed: &Needed,
    said: &Ruled,
    graph: &Graph<'_>,
    heads: impl Iterator<Item = &'a Digest>,
    removed: &dyn Fn(&Digest) -> bool,
) -> Vec<Removal> {
    let heads: Vec<Digest> = heads.copied().collect();
    let mut given: BTreeSet<Digest> = heads.iter().copied().collect();
    let removal = |digest: &Digest| {
        let below = graph.closure([(*digest, Live::Root)]);
        let parts = below.into_keys().filter(|part| removed(part) && given.insert(*part));
        let parts = parts
            .map(|part| Part { digest: part, tags: holding.tags_of(part).map(ToOwned::to_owned).collect() });
        let parts = parts.collect();
        let tags = holding.tags_of(*digest).map(|tag| Gone {
            tag: tag.to_owned(),
            why: said.goes.get(tag).cloned().unwrap_or_else(|| "what it is about is gone".to_owned()),
        });
        Removal {
            digest: *digest,
            tags: tags.collect(),
            time: time(holding, needed, digest),
            size: holding.manifests.get(digest).and_then(|held| held.size),
            parts,
        }
    };
    heads.iter().map(removal).collect()
}
