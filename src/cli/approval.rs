//! Who approves that stages are entered: the environment, a merged pull request, or
//! somebody on the terminal says so.

use crate::cli::place::until_signalled;
use crate::cli::run::asker;
use crate::cli::session::{Planned, Session};
use crate::config::MergedRequest;
use crate::deploy;
use crate::diagnostic::{Problem, Problems};
use crate::facts::short;
use crate::release::{APPROVED_BY, Candidate, Entrance, EntryKind};
use crate::run::Confirm;
use crate::store::find_secret;

/// What somebody has to agree to.
struct Asked<'a> {
    stage: &'a str,
    /// Who is asked.
    groups: String,
    merged: Option<&'a MergedRequest>,
    candidate: &'a Candidate,
}

/// Makes sure that all conditions are met, and has it approved where that is one.
pub(crate) fn approve(
    session: &Session,
    planned: &Planned,
    entrance: Entrance,
) -> Result<Entrance, Problems> {
    let asked = entrance.stages().iter().filter_map(|(stage, candidate)| {
        let approve = &stage.approve.as_ref()?.value;
        (candidate.kind != EntryKind::Rollback).then(|| Asked {
            stage: &stage.name.value,
            groups: approve.by.join(", "),
            merged: approve.pull_request.as_ref(),
            candidate,
        })
    });
    let asked: Vec<Asked<'_>> = asked.collect();
    if asked.is_empty() || entrance.approval().is_some() {
        entrance.check(None)?;
        return Ok(entrance);
    }
    let given = session.host.environment.text(APPROVED_BY).map(str::trim).filter(|who| !who.is_empty());
    let approval = match given {
        Some(who) => Ok(format!("{who}, by `{APPROVED_BY}`")),
        None => match merged(planned, &entrance, &asked)? {
            Ok(who) => Ok(who),
            Err(_) if answered(session, &asked) => Ok(format!("{}, on a terminal", session.host.user)),
            Err(why) => Err(why),
        },
    };
    let entrance = entrance.approved(approval);
    entrance.check(None)?;
    Ok(entrance)
}

/// Who approved merged pull requests that speak for all of it; or why they do not, if
/// they were looked for.
fn merged(
    planned: &Planned,
    entrance: &Entrance,
    asked: &[Asked<'_>],
) -> Result<Result<String, Option<String>>, Problems> {
    let mut said: Vec<String> = Vec::new();
    for asked in asked {
        let Some(merged) = asked.merged else { return Ok(Err(None)) };
        let look = one(planned, entrance, merged, &asked.candidate.commit);
        let found = until_signalled(async { Ok::<_, Problem>(look.await) }, "nobody approved it")?;
        match found {
            Ok(Ok(who)) if said.contains(&who) => {}
            Ok(Ok(who)) => said.push(who),
            Ok(Err(why)) => return Ok(Err(Some(format!("{why} ({})", short(&asked.candidate.commit))))),
            Err(problem) => {
                let why =
                    std::iter::once(problem.title.as_str()).chain(problem.notes.first().map(String::as_str));
                return Ok(Err(Some(why.collect::<Vec<_>>().join(": "))));
            }
        }
    }
    Ok(Ok(said.join("; ")))
}

async fn one(
    planned: &Planned,
    entrance: &Entrance,
    merged: &MergedRequest,
    commit: &str,
) -> Result<Result<String, String>, Problem> {
    let address = entrance.address_of_ledger()?.unwrap_or_default();
    let project = deploy::Project::of(&address, &merged.at)?;
    let (secret, root) = (project.token_of(&merged.at), &planned.project.root);
    let token = find_secret("a token", &secret, root, &planned.facts.environment).await?;
    project.approval(commit, merged.base.as_deref(), token.reveal()).await
}

/// Asks on the terminal; `--yes` is no approval.
fn answered(session: &Session, asked: &[Asked<'_>]) -> bool {
    let confirm: Confirm = asker(session, false);
    asked.iter().all(|Asked { stage, groups, candidate, .. }| {
        let question = format!("Do you approve {} for {stage}, as one of {groups}?", candidate.version);
        confirm(&question).unwrap_or(false)
    })
}
