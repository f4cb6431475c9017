//! `hoist copy`: an image from one place to another.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::cli::arguments::Copy;
use crate::cli::inspect::split_layout;
use crate::cli::session::{Loaded, Session, runtime};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Facts, Needs};
use crate::oci::{Digest, Reference, Tag};
use crate::plan::{RegistryPlan, registry_of};
use crate::release::{End, Publisher, Transferred, transfer};
use crate::report::tag_lines;
use crate::run::TagMove;
use crate::run::interrupts;

/// How long what writes files may take to notice that it is to stop.
const ENDING: Duration = Duration::from_secs(5);

pub(crate) fn copy(session: &mut Session, options: &Copy) -> Result<ExitCode, Problems> {
    let known = surroundings(session)?;
    let from = end(session, known.as_ref(), &options.from)?;
    let to = end(session, known.as_ref(), &options.to)?;
    if !options.to.starts_with("oci:") && !options.to.contains('/') {
        let title = format!("`{}` names no registry", options.to);
        let help = format!("did you mean `oci:{}`?", options.to);
        return Err(Problem::new(Code::InvalidReference, title).help(help).into());
    }
    let (root, environment) = match &known {
        Some((loaded, facts)) => (loaded.project.root.clone(), facts.environment.clone()),
        None => (session.host.directory.clone(), session.host.environment.clone()),
    };
    let publisher = Publisher::new(root, environment);
    let work = transfer(&from, &to, &publisher, Arc::new(|_| ()));
    let Transferred { image, copied, repository, tag, before } = until_signalled(work)?;
    if session.global.json {
        let value = json!({
            "digest": image.digest.to_string(),
            "tag": tag.map(|tag| tag.to_string()),
            "before": before.map(|before| before.to_string()),
            "sent": copied.sent,
            "sent_bytes": copied.sent_bytes,
            "mounted": copied.mounted,
            "present": copied.present,
        });
        session.output(&format!("{value}\n"))?;
    } else {
        session.say(&format!("{copied}\n"));
        let (from, to) = (before.map(|before| before.to_string()), image.digest.to_string());
        let moved = tag.map(|tag| TagMove { repository, tag: tag.to_string(), from, to, kept: None });
        session.say(&tag_lines(moved.as_slice(), session.status_look()));
        session.output(&format!("{}\n", image.digest))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What comes of some work, unless a signal asks for the end: then it is given up, and
/// what it staged is removed.
fn until_signalled<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let mut signals = interrupts();
        tokio::select! {
            done = work => done,
            Some(_) = signals.recv() => Err(Problem::new(Code::Interrupted, "copying was stopped")
                .help("run again: what is there already is not sent twice")),
        }
    });
    runtime.shutdown_timeout(ENDING);
    done
}

/// The release file, if there is one: it says how registries are reached.
fn surroundings(session: &mut Session) -> Result<Option<(Loaded, Facts)>, Problems> {
    let loaded = match session.load() {
        Ok(loaded) => loaded,
        Err(problems) if problems.as_slice().iter().all(|problem| problem.code == Code::NoReleaseFile) => {
            return Ok(None);
        }
        Err(problems) => return Err(problems),
    };
    let facts = session.gather(&loaded, &Needs::default(), &indexmap::IndexMap::new())?;
    Ok(Some((loaded, facts)))
}

/// `oci:DIR[:TAG]`, `oci:DIR@DIGEST`, or a reference.
fn end(session: &Session, known: Option<&(Loaded, Facts)>, text: &str) -> Result<End, Problem> {
    let invalid = |why: String| {
        Problem::new(Code::InvalidReference, format!("`{text}` is not the name of an image"))
            .note(why)
            .help("`HOST/REPOSITORY[:TAG]`, `HOST/REPOSITORY@DIGEST`, or `oci:DIR[:TAG]`")
    };
    if let Some(place) = text.strip_prefix("oci:") {
        let (directory, name) = split_layout(session, place);
        if directory.is_empty() {
            return Err(invalid("the directory is missing".to_owned()));
        }
        let named = |name: &&str| name.parse::<Tag>().is_ok() || name.parse::<Digest>().is_ok();
        if let Some(wrong) = name.filter(|name| !named(name)) {
            return Err(invalid(format!("`{wrong}` is neither a tag nor a digest")));
        }
        let path = session.host.directory.join(directory);
        return Ok(End::Layout { path, name: name.map(ToOwned::to_owned) });
    }
    let reference = text.strip_prefix("docker://").unwrap_or(text).parse::<Reference>();
    let reference = reference.map_err(|why| invalid(why.to_string()))?;
    let of = |(loaded, facts): &(Loaded, Facts)| registry_of(&loaded.release, facts, &reference.repository);
    let registry = known.map_or_else(|| RegistryPlan::plain(&reference.repository), of);
    Ok(End::Registry { reference, registry: Box::new(registry) })
}
