//! `hoist copy`: an image from one place to others.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use crate::cli::arguments::Copy;
use crate::cli::immutable::immutable;
use crate::cli::place::{Places, gauge, platform, until_signalled};
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::oci::{InvalidReference, Reference, Tag};
use crate::release::{Delivered, End, Publisher, Source, Transferred, shown};
use crate::report::tag_lines;
use crate::run::TagMove;
use crate::store::Observe;

pub(crate) fn copy(session: &mut Session, options: &Copy) -> Result<ExitCode, Problems> {
    let wanted = options.platform.as_deref().map(platform).transpose()?;
    // Which tags of a registry never change stands in the release file.
    let places = if options.force || options.to.iter().all(|to| to.starts_with("oci:")) {
        Places::read_for(session, &[&options.from])?
    } else {
        Places::read(session)?
    };
    let from = places.source(session, &options.from)?;
    let mut targets: Vec<End> = Vec::new();
    for to in &options.to {
        let is_of_others = matches!(to.parse::<Reference>(), Err(InvalidReference::Transport(_)));
        if !to.starts_with("oci:") && !to.contains('/') && !is_of_others {
            let problem = Problem::new(Code::InvalidReference, format!("`{to}` names no registry"));
            return Err(problem.help(format!("did you mean `oci:{to}`?")).into());
        }
        targets.push(places.end(session, to)?);
    }
    let publisher = places.publisher(session);
    let gauge = gauge(session).map(Arc::new);
    let observe = |to: &End| -> Observe {
        let (gauge, place) = (gauge.clone(), shown(to));
        Arc::new(move |progress| {
            if let Some(gauge) = &gauge {
                gauge.see(&place, progress);
            }
        })
    };
    let (mut named, mut image) = (Vec::new(), None);
    let work = async {
        let source = Source::find(&from, wanted.as_ref(), &publisher).await;
        let source = source.map_err(|problem| places.not_declared(&options.from, problem))?;
        if !options.force {
            check_immutable(&places, &source, &targets, &publisher).await?;
        }
        let source = image.insert(source);
        // Nothing is visible anywhere before everything is everywhere.
        let mut delivered = Vec::new();
        for to in &targets {
            delivered.push(source.deliver(to, &publisher, !options.no_referrers, observe(to)).await?);
        }
        let took_long = delivered.iter().any(Delivered::took_long);
        for (to, delivered) in targets.iter().zip(delivered) {
            named.push(source.name(to, delivered, took_long).await?);
        }
        Ok::<_, Problems>(())
    };
    let stopped = "copying was stopped; run again: what is there already is not sent twice";
    let done = until_signalled(work, stopped);
    drop(gauge);
    for one in &named {
        tell(session, one)?;
    }
    if let Err(problems) = done {
        return Err(match image {
            Some(source) if targets.len() > 1 => in_part(&source, &targets, &named, problems),
            _ => problems,
        });
    }
    if let (Some(source), false) = (image, session.global.json) {
        session.output(&format!("{}\n", source.image().digest))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what became of the image in one place.
fn tell(session: &Session, done: &Transferred) -> Result<(), Problems> {
    let Transferred { image, copied, along, repository, tag, before } = done;
    let (tag, before) = (tag.as_ref().map(Tag::to_string), before.map(|before| before.to_string()));
    if session.global.json {
        let value = json!({
            "digest": image.digest.to_string(),
            "repository": repository,
            "tag": tag,
            "before": before,
            "sent": copied.sent,
            "sent_bytes": copied.sent_bytes,
            "mounted": copied.mounted,
            "present": copied.present,
            "referrers": along.map(|along| json!({ "brought": along.brought, "present": along.present })),
        });
        return session.output(&format!("{value}\n"));
    }
    session.say(&format!("{repository}: {copied}\n"));
    if let Some(along) = along.filter(|along| along.brought > 0) {
        session.say(&format!("{repository}: {along}\n"));
    }
    let (repository, to) = (repository.clone(), image.digest.to_string());
    let moved = tag.map(|tag| TagMove { repository, tag, from: before, to, kept: None });
    session.say(&tag_lines(moved.as_slice(), session.status_look()));
    Ok(())
}

/// Makes sure that no tag that never changes holds another image.
async fn check_immutable(
    places: &Places,
    source: &Source,
    targets: &[End],
    publisher: &Publisher,
) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for to in targets {
        let Some(tag) = source.tag_in(to) else { continue };
        let Some(why) = immutable(places, to, &tag) else { continue };
        let ours = source.image().digest;
        if let Some(held) = source.held(to, publisher).await?.filter(|held| *held != ours) {
            let title = format!("`{}` holds another image and never changes", full_name(source, to));
            let problem = Problem::new(Code::ImmutableTag, title).note(why);
            problems.push(
                problem
                    .note(format!("it holds {held}, this is {ours}"))
                    .help("name another tag; `--force` overwrites this one"),
            );
        }
    }
    problems.or(())
}

/// An image in a place, by the tag that it gets there, or by its digest.
fn full_name(source: &Source, to: &End) -> String {
    let place = match to {
        End::Layout { .. } => shown(to),
        End::Registry { reference, .. } => reference.repository.to_string(),
    };
    match source.tag_in(to) {
        Some(tag) => format!("{place}:{tag}"),
        None => format!("{place}@{}", source.image().digest),
    }
}

/// What stands, where not all places have the image.
fn in_part(source: &Source, targets: &[End], named: &[Transferred], cause: Problems) -> Problems {
    let mut problems: Vec<Problem> = cause.into_iter().collect();
    let Some(first) = problems.first_mut() else { return Problems::new() };
    let digest = source.image().digest;
    // It says so of the place where that is not known.
    let is_unknown = first.code == Code::HalfReleased;
    let changed = |done: &Transferred| done.before != Some(digest);
    if first.code != Code::Interrupted && named.iter().any(changed) {
        first.code = Code::HalfReleased;
        first.title = format!("the image was copied to some places only: {}", first.title);
    }
    for (to, at) in targets.iter().zip(0..).filter(|(_, at)| !is_unknown || *at != named.len()) {
        let name = full_name(source, to);
        first.notes.push(match named.get(at) {
            Some(done) if changed(done) => format!("`{name}` holds {digest} now"),
            Some(_) => format!("`{name}` held {digest} before"),
            None => format!("`{name}` was not set"),
        });
    }
    if first.help.is_none() && first.code != Code::Interrupted {
        first.help = Some("run the same again: what is there is not sent twice".to_owned());
    }
    let mut all = Problems::new();
    all.extend(problems);
    all
}
