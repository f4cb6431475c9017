//! `hoist copy`: an image from one place to another.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use crate::cli::arguments::Copy;
use crate::cli::place::{Places, until_signalled};
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::release::{End, Transferred, transfer};
use crate::report::tag_lines;
use crate::run::TagMove;

pub(crate) fn copy(session: &mut Session, options: &Copy) -> Result<ExitCode, Problems> {
    let places = Places::read(session)?;
    let from = places.end(session, &options.from)?;
    let mut targets: Vec<End> = Vec::new();
    for to in &options.to {
        if !to.starts_with("oci:") && !to.contains('/') {
            let problem = Problem::new(Code::InvalidReference, format!("`{to}` names no registry"));
            return Err(problem.help(format!("did you mean `oci:{to}`?")).into());
        }
        targets.push(places.end(session, to)?);
    }
    let publisher = places.publisher(session);
    let work = async {
        let mut done: Vec<Transferred> = Vec::new();
        for to in &targets {
            done.push(transfer(&from, to, &publisher, Arc::new(|_| ())).await?);
        }
        Ok::<_, Problem>(done)
    };
    let stopped = "copying was stopped; run again: what is there already is not sent twice";
    let done = until_signalled(work, stopped)?;
    for Transferred { image, copied, repository, tag, before } in &done {
        let (tag, before) = (tag.as_ref().map(ToString::to_string), before.map(|before| before.to_string()));
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
            });
            session.output(&format!("{value}\n"))?;
            continue;
        }
        session.say(&format!("{copied}\n"));
        let (repository, to) = (repository.clone(), image.digest.to_string());
        let moved = tag.map(|tag| TagMove { repository, tag, from: before, to, kept: None });
        session.say(&tag_lines(moved.as_slice(), session.status_look()));
    }
    let mut digests: Vec<String> = done.iter().map(|one| format!("{}\n", one.image.digest)).collect();
    digests.dedup();
    if !session.global.json {
        session.output(&digests.concat())?;
    }
    if digests.len() > 1 {
        let problem =
            Problem::new(Code::DigestMismatch, format!("`{}` changed while it was copied", options.from));
        return Err(problem.help("run again, or name it by its digest").into());
    }
    Ok(ExitCode::SUCCESS)
}
