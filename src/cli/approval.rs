//! Who approves that stages are entered: the environment, a merged pull request, or
//! somebody on the terminal says so.

use indexmap::IndexMap;

use crate::cli::place::until_signalled;
use crate::cli::run::asker;
use crate::cli::session::{Planned, Session};
use crate::config::MergedRequest;
use crate::deploy;
use crate::diagnostic::{Code, Problem, Problems};
use crate::release::{APPROVED_BY, Candidate, Entrance, EntryKind};
use crate::run::Confirm;
use crate::store::find_secret;

/// What somebody has to agree to.
struct Asked<'a> {
    stage: &'a str,
    /// What enters it, and instead of what.
    words: &'a str,
    /// Who is asked.
    groups: String,
    merged: Option<&'a MergedRequest>,
    candidate: &'a Candidate,
}

/// Makes sure that all conditions are met, and has it approved where that is one.
pub(crate) fn approve(
    session: &Session,
    planned: &Planned,
    (entrance, enters): (Entrance, &IndexMap<String, String>),
) -> Result<Entrance, Problems> {
    let asked = entrance.stages().iter().filter_map(|(stage, candidate)| {
        let approve = &stage.approve.as_ref()?.value;
        let words = enters.get(&stage.name.value).unwrap_or(&candidate.version);
        (candidate.kind != EntryKind::Rollback).then(|| Asked {
            stage: &stage.name.value,
            words,
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
    let approval = match merged(planned, &entrance, &asked)? {
        Err(why) if answered(session, &asked, why.as_ref()) => {
            Ok(format!("{}, on a terminal", session.host.user))
        }
        approval => approval,
    };
    let entrance = entrance.approved(approval);
    entrance.check(None)?;
    Ok(entrance)
}

/// Who approved it, as the environment says.
pub(crate) fn given(session: &Session) -> Option<String> {
    let who = session.host.environment.text(APPROVED_BY).map(str::trim).filter(|who| !who.is_empty());
    who.map(|who| format!("{who}, by `{APPROVED_BY}`"))
}

/// Who approved merged pull requests that speak for all of it; or why they do not, if
/// they were looked for.
fn merged(
    planned: &Planned,
    entrance: &Entrance,
    asked: &[Asked<'_>],
) -> Result<Result<String, Option<Problem>>, Problems> {
    let mut said: Vec<String> = Vec::new();
    for asked in asked {
        let Some(merged) = asked.merged else { return Ok(Err(None)) };
        let look = one(planned, entrance, merged, asked.candidate);
        match until_signalled(async { Ok::<_, Problem>(look.await) }, "nobody approved it")? {
            Ok(who) if said.contains(&who) => {}
            Ok(who) => said.push(who),
            Err(problem) if problem.labels.is_empty() => {
                return Ok(Err(Some(problem.label(merged.at.span, "what may approve it"))));
            }
            Err(problem) => return Ok(Err(Some(problem))),
        }
    }
    Ok(Ok(said.join("; ")))
}

async fn one(
    planned: &Planned,
    entrance: &Entrance,
    merged: &MergedRequest,
    candidate: &Candidate,
) -> Result<String, Problem> {
    if let Some((why, remedy)) = candidate.more_than_commit() {
        let title = format!("the images are not of the commit alone: {why}");
        return Err(Problem::new(Code::PullRequest, title).help(remedy));
    }
    let address = entrance.address_of_ledger()?.unwrap_or_default();
    let project = deploy::Project::of(&address, &merged.at)?;
    let (secret, root) = (project.token_of(&merged.at), &planned.project.root);
    let token = find_secret("a token", &secret, root, &planned.facts.environment).await?;
    project.approval(&candidate.commit, merged.base.as_deref(), token.reveal()).await
}

/// Asks on the terminal, and says before why no pull request was enough; `--yes` is no
/// approval.
fn answered(session: &Session, asked: &[Asked<'_>], why: Option<&Problem>) -> bool {
    let confirm: Confirm = asker(session, false);
    let mut why = why
        .map(|problem| format!("No pull request approves it: {}\n", problem.sentence()))
        .unwrap_or_default();
    asked.iter().all(|Asked { stage, groups, words, .. }| {
        let why = std::mem::take(&mut why);
        let question = format!("{why}Do you approve {words} for {stage}, as one of {groups}?");
        confirm(&question).unwrap_or(false)
    })
}
