//! What goes and what stays, as a table and as JSON (`schema/prune.schema.json`).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::session::Session;
use crate::cli::status::{age, short};
use crate::diagnostic::{bytes, counted};
use crate::release::{Loose, Outcome, Removal, Stays, Verdict};
use crate::report::{Look, Paint, Table};

/// What would go of a repository, and why; with `-v` also what stays.
pub(super) fn table(session: &Session, repository: &str, verdict: &Verdict) -> String {
    let look = session.output_look();
    let now = session.host.now;
    let mut table = Table::new();
    table.head(["TAG", "DIGEST", "AGE", "SIZE", "WHY"]);
    for removal in &verdict.removals {
        let since = removal.time.map_or_else(|| "-".to_owned(), |time| age(now, time));
        let size = removal.size.map_or_else(|| "-".to_owned(), bytes);
        for gone in &removal.tags {
            table.row([
                (Some(Paint::Name), look.tame(&gone.tag)),
                (None, short(removal.digest)),
                (None, since.clone()),
                (None, size.clone()),
                (None, look.tame(&gone.why)),
            ]);
        }
        let empty = || (None, "-".to_owned());
        for part in &removal.parts {
            let tag = if part.tags.is_empty() { "-".to_owned() } else { look.tame(&part.tags.join(" ")) };
            let why = (Some(Paint::Faint), "it belongs to the image before".to_owned());
            table.row([(Some(Paint::Faint), tag), (None, short(part.digest)), empty(), empty(), why]);
        }
    }
    for Loose { gone, digest, stays } in &verdict.loose {
        let why = format!("{}; the image stays: {stays}", gone.why);
        let none = || (None, "-".to_owned());
        let tag = (Some(Paint::Name), look.tame(&gone.tag));
        table.row([tag, (None, short(*digest)), none(), none(), (None, look.tame(&why))]);
    }
    let head = format!("{}\n", look.paint(Paint::Strong, &look.tame(repository)));
    let goes = if verdict.is_empty() { String::new() } else { table.render_whole(look, 2) };
    head + &goes + &kept(session, verdict)
}

/// What stays; with `-v` each tag, and why.
fn kept(session: &Session, verdict: &Verdict) -> String {
    let look = session.output_look();
    if !session.global.verbose || verdict.stays.is_empty() {
        let more = if verdict.stays.is_empty() { "" } else { " (`-v` says why)" };
        return format!("  {} kept{more}\n", counted(verdict.stays.len(), "tag"));
    }
    let mut table = Table::new();
    table.head(["KEPT", "DIGEST", "WHY"]);
    for stays in &verdict.stays {
        let why = (None, look.tame(&stays.why));
        table.row([(Some(Paint::Name), look.tame(&stays.tag)), (None, short(stays.digest)), why]);
    }
    table.render_whole(look, 2)
}

/// What became of a repository, in words.
pub(super) fn outcome(repository: &str, outcome: &Outcome) -> String {
    let tame = |text: &str| Look::PLAIN.tame(text);
    let repository = tame(repository);
    let removed = outcome.removed.iter().map(|removal| {
        let tags: Vec<_> = removal.tags.iter().map(|gone| tame(&gone.tag)).collect();
        let with = match removal.parts.len() {
            0 => String::new(),
            parts => format!(" and {} that belonged to it", counted(parts, "manifest")),
        };
        format!("{repository}: deleted {} ({}){with}\n", removal.digest, tags.join(", "))
    });
    let loose = outcome.loose.iter();
    let loose = loose.map(|loose| format!("{repository}: deleted the tag {}\n", tame(&loose.gone.tag)));
    let kept = outcome.kept.iter();
    let kept = kept.map(|stays| format!("{repository}: kept {}: {}\n", tame(&stays.tag), stays.why));
    removed.chain(loose).chain(kept).collect::<Vec<_>>().concat()
}

/// What would go of a repository.
pub(super) fn proposed(registry: &str, repository: &str, verdict: &Verdict, now: Timestamp) -> Value {
    value((registry, repository), false, (&verdict.removals, &verdict.loose), &verdict.stays, now)
}

/// What went of a repository, and what stays.
pub(super) fn done(
    registry: &str,
    repository: &str,
    verdict: &Verdict,
    outcome: &Outcome,
    now: Timestamp,
) -> Value {
    let stays: Vec<Stays> = verdict.stays.iter().chain(&outcome.kept).cloned().collect();
    value((registry, repository), true, (&outcome.removed, &outcome.loose), &stays, now)
}

fn value(
    (registry, repository): (&str, &str),
    deleted: bool,
    (removals, loose): (&[Removal], &[Loose]),
    stays: &[Stays],
    now: Timestamp,
) -> Value {
    let image = |removal: &Removal| {
        let reasons: BTreeSet<&str> = removal.tags.iter().map(|gone| gone.why.as_str()).collect();
        let parts = removal.parts.iter();
        let parts = parts.map(|part| json!({ "digest": part.digest.to_string(), "tags": part.tags }));
        json!({
            "digest": removal.digest.to_string(),
            "tags": removal.tags.iter().map(|gone| &gone.tag).collect::<Vec<_>>(),
            "why": reasons,
            "age": removal.time.map(|time| now.duration_since(time).as_secs().max(0)),
            "bytes": removal.size,
            "with": parts.collect::<Vec<_>>(),
        })
    };
    let tag = |one: &Loose| json!({ "tag": one.gone.tag, "digest": one.digest.to_string(), "why": one.gone.why, "stays": one.stays });
    let stay = |one: &Stays| json!({ "tag": one.tag, "digest": one.digest.to_string(), "why": one.why });
    json!({
        "registry": registry,
        "repository": repository,
        "deleted": deleted,
        "images": removals.iter().map(image).collect::<Vec<_>>(),
        "tags": loose.iter().map(tag).collect::<Vec<_>>(),
        "kept": stays.iter().map(stay).collect::<Vec<_>>(),
    })
}
