use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::config::{Bounds, Retain};
use crate::oci::Digest;
use crate::release::ledger::{Entry, EntryKind, tests::entry};

const DAY: i64 = 86_400;
const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn digest(what: &str) -> Digest {
    Digest::of(what.as_bytes())
}

fn rules(given: &[(&str, Option<u32>, Option<u64>)]) -> Rules {
    let retain = |(glob, last, days): &(&str, Option<u32>, Option<u64>)| Retain {
        matches: vec![(*glob).to_owned()],
        bounds: Bounds { last: *last, younger: days.map(|days| Duration::from_hours(24 * days)) },
        versions: false,
    };
    let given: Vec<Retain> = given.iter().map(retain).collect();
    Rules::new(&given).unwrap()
}

/// A repository, written down.
#[derive(Default)]
struct Repository(Holding);

impl Repository {
    /// A tag of an image that was made so many days ago.
    fn image(mut self, tag: &str, what: &str, days: i64) -> Self {
        let created = Timestamp::from_second(NOW - days * DAY).ok();
        self.0.tags.insert(tag.to_owned(), digest(what));
        let held = self.0.manifests.entry(digest(what)).or_default();
        (held.created, held.size) = (created, Some(1));
        self
    }

    /// What an index names.
    fn index(mut self, what: &str, children: &[&str]) -> Self {
        for child in children {
            self.0.manifests.entry(digest(child)).or_default();
        }
        let children = children.iter().map(|child| digest(child)).collect();
        self.0.manifests.entry(digest(what)).or_default().children = children;
        self
    }

    /// Something that refers to a manifest, and is listed.
    fn referrer(mut self, what: &str, subject: &str) -> Self {
        self.0.manifests.entry(digest(what)).or_default().subject = Some(digest(subject));
        self.0.referrers.entry(digest(subject)).or_default().push(digest(what));
        self
    }

    fn tag(mut self, tag: &str, what: &str) -> Self {
        self.0.tags.insert(tag.to_owned(), digest(what));
        self
    }
}

fn list(subject: &str, end: &str) -> String {
    format!("sha256-{}{end}", digest(subject).hex())
}

/// What goes, by its tags, with what goes along; and what is taken from what stays.
fn goes(verdict: &Verdict) -> (Vec<String>, Vec<String>) {
    let of = |removal: &Removal| {
        let tags: Vec<_> = removal.tags.iter().map(|gone| gone.tag.as_str()).collect();
        match removal.parts.len() {
            0 => tags.join("+"),
            parts => format!("{} with {parts}", tags.join("+")),
        }
    };
    let mut removals: Vec<String> = verdict.removals.iter().map(of).collect();
    removals.sort();
    (removals, verdict.loose.iter().map(|loose| format!("{}: {}", loose.gone.tag, loose.stays)).collect())
}

fn why<'a>(verdict: &'a Verdict, tag: &str) -> &'a str {
    verdict.stays.iter().find(|stays| stays.tag == tag).map_or("it goes", |stays| &stays.why)
}

#[test]
fn the_last_and_the_young_stay_and_nothing_without_a_rule_goes() {
    let Repository(holding) = Repository::default()
        .image("develop-1", "1", 50)
        .image("develop-2", "2", 40)
        .image("develop-3", "3", 20)
        .image("develop-4", "4", 10)
        .image("develop-0", "0", 20_000)
        .image("latest", "4", 10)
        .image("1.0.0", "v", 400)
        .image("main-1", "m", 400);
    let none = Needed::default();
    let judged = judge(&holding, &none, &rules(&[("develop-*", Some(1), Some(30))]), now());
    assert_eq!(goes(&judged).0, ["develop-1", "develop-2"]);
    assert_eq!(why(&judged, "develop-4"), "it is among the last 1");
    assert_eq!(why(&judged, "develop-3"), "it is younger than 30d");
    // Before there were images, no image was made.
    assert_eq!(why(&judged, "develop-0"), "its age is not known");
    assert_eq!(why(&judged, "latest"), "`latest` always does");
    assert_eq!(why(&judged, "main-1"), "no rule is for it");
    let judged = judge(&holding, &none, &rules(&[("*", Some(3), None)]), now());
    assert_eq!(goes(&judged).0, ["develop-1", "main-1"]);
    assert_eq!(why(&judged, "1.0.0"), "it names a version, which no rule says is meant");
    assert_eq!(goes(&judge(&holding, &none, &rules(&[]), now())).0, Vec::<String>::new());
}

#[test]
fn images_of_the_same_age_are_told_by_nothing_and_stay_together() {
    let Repository(holding) =
        Repository::default().image("a-1", "1", 3).image("a-2", "2", 3).image("a-3", "3", 4);
    let judged = judge(&holding, &Needed::default(), &rules(&[("a-*", Some(1), None)]), now());
    assert_eq!(goes(&judged).0, ["a-3"]);
}

#[test]
fn what_hoist_made_for_itself_goes_by_its_own_rules() {
    let keep = keep_alive_tag(&digest("old")).unwrap().to_string();
    let content = format!("k-{}", "a0".repeat(20));
    let Repository(holding) =
        Repository::default().image(&keep, "old", 31).image(&content, "built", 31).image("keep-me", "x", 90);
    let none = Needed::default();
    // A glob for all other tags does not mean them.
    let judged = judge(&holding, &none, &rules(&[("*", Some(100), None)]), now());
    assert_eq!(goes(&judged).0, [content.clone(), keep.clone()]);
    let judged = judge(&holding, &none, &rules(&[("k-*", None, Some(60))]), now());
    assert_eq!(goes(&judged).0, [keep.as_str()]);
    let ran = [ran("production", vec![entry(EntryKind::Release, "production", "1", "old", NOW - 90 * DAY)])];
    let judged = judge(&holding, &Needed::of(&ran, now()), &rules(&[]), now());
    assert_eq!(goes(&judged).0, [content.as_str()]);
    assert_eq!(why(&judged, &keep), "`production` runs it");
}

#[test]
fn what_a_live_index_names_stays_and_only_its_own_tag_goes() {
    let Repository(holding) = Repository::default()
        .image("old-1", "one", 90)
        .image("old-2", "arm", 90)
        .image("1.0.0", "live", 90)
        .index("one", &["amd", "arm"])
        .index("live", &["arm"]);
    let judged = judge(&holding, &Needed::default(), &rules(&[("old-*", None, Some(30))]), now());
    let (removals, loose) = goes(&judged);
    assert_eq!(removals, ["old-1 with 1"]);
    assert_eq!(loose, ["old-2: it is part of `1.0.0`"]);
    assert_eq!(judged.removals[0].parts[0].digest, digest("amd"));
}

#[test]
fn a_tag_of_an_image_with_another_goes_alone() {
    let Repository(holding) =
        Repository::default().image("old-1", "one", 90).image("1.0.0", "one", 90).image("old-2", "two", 90);
    let judged = judge(&holding, &Needed::default(), &rules(&[("old-*", None, Some(30))]), now());
    assert_eq!(
        goes(&judged),
        (vec!["old-2".to_owned()], vec!["old-1: another tag names it, too".to_owned()])
    );
}

#[test]
fn what_is_said_about_an_image_goes_and_stays_with_it() {
    let Repository(holding) = Repository::default()
        .image("old-1", "one", 90)
        .index("one", &["amd"])
        .tag(&list("one", ".sig"), "signature")
        .tag(&list("amd", ""), "fallback")
        .index("fallback", &["sbom"])
        .referrer("attestation", "one")
        .referrer("about", "attestation")
        .image("1.0.0", "live", 90)
        .tag(&list("live", ".sig"), "of-live")
        .image("old-2", "note", 90)
        .referrer("note", "live")
        .tag(&list("unnamed", ".att"), "of-unnamed");
    let none = Needed::default();
    let rules = rules(&[("old-*", None, Some(30))]);
    let judged = judge(&holding, &none, &rules, now());
    assert_eq!(goes(&judged).0, ["old-1 with 6"]);
    assert_eq!(why(&judged, "old-2"), "what it refers to stays");
    assert_eq!(why(&judged, &list("live", ".sig")), "what it is about stays");
    assert_eq!(why(&judged, &list("unnamed", ".att")), "what it is about stays");
    let mut holding = holding;
    holding.absent.insert(digest("unnamed"));
    let judged = judge(&holding, &none, &rules, now());
    assert_eq!(goes(&judged).0, ["old-1 with 6".to_owned(), list("unnamed", ".att")]);
}

fn ran(stage: &str, entries: Vec<Entry>) -> Ran {
    let running = entries.last().map(|entry| entry.images[0].digest).into_iter().collect();
    let ids = entries.into_iter().enumerate().map(|(at, entry)| (format!("{at:040}"), entry));
    let mut history: Vec<_> = ids.collect();
    history.reverse();
    Ran { stage: stage.to_owned(), retain: None, running, history }
}

fn released(what: &str, days: i64) -> Entry {
    entry(EntryKind::Release, "production", what, what, NOW - days * DAY)
}

/// The images that are needed, of `a`, `b`, and so on.
fn needed(retain: Option<(Option<u32>, Option<u64>)>, entries: Vec<Entry>) -> String {
    let bounds =
        retain.map(|(last, days)| Bounds { last, younger: days.map(|days| Duration::from_hours(24 * days)) });
    let needed = Needed::of(&[Ran { retain: bounds, ..ran("production", entries) }], now());
    ('a'..='z').filter(|name| needed.reason(&digest(&name.to_string())).is_some()).collect()
}

#[test]
fn a_stage_needs_what_it_runs_and_what_it_could_go_back_to() {
    let all = || ('a'..='p').zip(0..).map(|(name, at)| released(&name.to_string(), 1000 - at * 10)).collect();
    assert_eq!(needed(None, all()), "ghijklmnop");
    assert_eq!(needed(Some((Some(3), None)), all()), "nop");
    // `m` ran until `n` came, 870 days ago.
    assert_eq!(needed(Some((None, Some(871))), all()), "mnop");
    assert_eq!(needed(Some((None, Some(1))), all()), "op");
    assert_eq!(needed(None, Vec::new()), "");
}

#[test]
fn what_failed_does_not_count_and_what_lies_between_is_kept() {
    let failed = |what: &str, days| {
        vec![released(what, days), Entry { kind: EntryKind::Aborted, ..released(what, days) }]
    };
    let entries = [vec![released("a", 900), released("b", 890)], failed("c", 880), failed("d", 870)].concat();
    assert_eq!(needed(Some((Some(1), None)), entries.clone()), "bcd");
    assert_eq!(needed(Some((Some(2), None)), entries), "abcd");
    let back = Entry { kind: EntryKind::Rollback, ..released("b", 860) };
    let entries = vec![released("a", 900), released("b", 890), released("c", 880), back];
    assert_eq!(needed(Some((Some(1), None)), entries), "abc");
}

#[test]
fn the_ledger_makes_an_image_younger() {
    let Repository(holding) = Repository::default().image("develop-1", "a", 300).image("develop-2", "z", 300);
    let entries = vec![released("a", 20), released("b", 10), released("c", 5)];
    let few = Some(Bounds { last: Some(1), younger: None });
    let needed = Needed::of(&[Ran { retain: few, ..ran("production", entries) }], now());
    assert_eq!(needed.reason(&digest("a")), None);
    let judged = judge(&holding, &needed, &rules(&[("develop-*", None, Some(30))]), now());
    assert_eq!(goes(&judged).0, ["develop-2"]);
}

/// Repositories of a few manifests: an index names those with lower numbers, and anything
/// may refer to anything lower.
fn repositories() -> impl Strategy<Value = (Holding, Vec<usize>)> {
    const MOST: usize = 10;
    let manifest = (proptest::collection::vec(0..MOST, 0..3), proptest::option::of(0..MOST), 0..200i64);
    let manifests = proptest::collection::vec(manifest, MOST);
    let tags = proptest::collection::vec((0..5usize, 0..MOST, 0..MOST), 0..14);
    (manifests, tags, proptest::collection::vec(0..MOST, 0..3)).prop_map(|(manifests, tags, needed)| {
        let name = |at: usize| digest(&at.to_string());
        let mut holding = Holding::default();
        for (at, (children, subject, days)) in manifests.into_iter().enumerate() {
            let held = Held {
                children: children.into_iter().filter(|child| *child < at).map(name).collect(),
                subject: subject.filter(|subject| *subject < at).map(name),
                created: (days > 5).then(|| Timestamp::from_second(NOW - days * DAY).unwrap()),
                size: None,
            };
            if let Some(subject) = held.subject {
                holding.referrers.entry(subject).or_default().push(name(at));
            }
            holding.manifests.insert(name(at), held);
        }
        for (number, (kind, held, subject)) in tags.into_iter().enumerate() {
            let tag = match kind {
                0 => format!("1.{number}.0"),
                1 => list(&subject.to_string(), ".sig"),
                2 => keep_alive_tag(&name(held)).unwrap().to_string(),
                _ => format!("old-{number}"),
            };
            holding.tags.insert(tag, name(held));
        }
        (holding, needed)
    })
}

proptest! {
    #[test]
    fn nothing_that_is_needed_goes((holding, needed) in repositories(), last in 1..4u32) {
        let entries = needed.iter().map(|at| released(&at.to_string(), 1)).collect();
        let needed = Needed::of(&[ran("production", entries)], now());
        let judged = judge(&holding, &needed, &rules(&[("old-*", Some(last), Some(30))]), now());
        let gone: std::collections::BTreeSet<Digest> = judged.digests().collect();
        prop_assert_eq!(gone.len(), judged.digests().count(), "each goes once");
        // A tag stays, goes alone, or goes with all others of its image.
        let staying: Vec<Digest> =
            judged.stays.iter().map(|stays| stays.digest).chain(judged.loose.iter().map(|one| one.digest)).collect();
        let with_images = holding.tags.values().filter(|digest| gone.contains(digest)).count();
        prop_assert_eq!(staying.len() + with_images, holding.tags.len());
        // By a slow way: all that what stays leads to is there.
        let mut live: Vec<Digest> = staying.into_iter().chain(needed.images()).collect();
        let mut at = 0;
        while let Some(digest) = live.get(at).copied() {
            at += 1;
            prop_assert!(!gone.contains(&digest), "{digest} goes");
            let named = holding.manifests.get(&digest).into_iter().flat_map(|held| held.children.clone());
            let about = holding.manifests.iter().filter(|(_, held)| held.subject == Some(digest));
            let about = about.map(|(about, _)| *about);
            let more: Vec<Digest> = named.chain(about).filter(|more| !live.contains(more)).collect();
            live.extend(more);
        }
        for loose in &judged.loose {
            prop_assert!(!loose.stays.is_empty());
        }
    }
}
